// Package helper adds.
package helper

// Add adds.
func Add(a, b int) int { return a + b }
