// A plugin.
package main

type Sum struct{ total int }

var Value = Sum{1}

//go:noinline
func Add(a, b int) int {
	Value.total += a + b
	return Value.total
}

func main() {}
