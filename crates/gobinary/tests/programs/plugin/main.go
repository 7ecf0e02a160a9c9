// A program that loads a plugin, tells of what is in it, then waits to be read from outside.
package main

import (
	"bufio"
	"fmt"
	"os"
	"plugin"
	"reflect"
	"runtime"
)

func main() {
	added, err := plugin.Open(os.Args[1])
	if err != nil {
		panic(err)
	}
	function, err := added.Lookup("Add")
	if err != nil {
		panic(err)
	}
	pc := reflect.ValueOf(function).Pointer()
	fmt.Printf("entry %d %s\n", pc, runtime.FuncForPC(pc).Name())
	value, err := added.Lookup("Value")
	if err != nil {
		panic(err)
	}
	t := reflect.TypeOf(value)
	fmt.Printf("type %d %s\n", reflect.ValueOf(t).Pointer(), t)
	fmt.Println("ready")
	bufio.NewReader(os.Stdin).ReadByte()
}
