// A program that is built from another module.
package main

import (
	"fmt"
	"os"

	"example.com/helper"
)

func main() {
	fmt.Println(helper.Add(len(os.Args), 1))
}
