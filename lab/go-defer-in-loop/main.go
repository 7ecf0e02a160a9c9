// A worker that answers queries, with a map for the result of each.
package main

import (
	"fmt"
	"log"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/rlimit"

	"scenario/labkit"
)

type query struct {
	rows   uint32
	answer chan answer
}

type answer struct {
	sum uint64
	err error
}

type worker struct {
	queries chan query
	served  int
}

// run returns when there are no more queries to come.
func (w *worker) run() {
	for q := range w.queries {
		result, err := ebpf.NewMap(&ebpf.MapSpec{ // LEAK queries
			Name: "query_result", Type: ebpf.Hash, KeySize: 4, ValueSize: 8, MaxEntries: 64,
		})
		if err != nil {
			q.answer <- answer{err: fmt.Errorf("query %d: %w", w.served, err)}
			continue
		}
		defer result.Close() // RULE queries
		labkit.Opened("queries", labkit.IDOf(result))

		if err := collect(result, q.rows); err != nil {
			q.answer <- answer{err: err}
			continue
		}
		sum, err := total(result)
		w.served++
		q.answer <- answer{sum: sum, err: err}
	}
}

func collect(result *ebpf.Map, rows uint32) error {
	for row := uint32(0); row < rows; row++ {
		if err := result.Put(row, uint64(row)*8); err != nil {
			return fmt.Errorf("row %d: %w", row, err)
		}
	}
	return nil
}

func total(result *ebpf.Map) (sum uint64, err error) {
	var row uint32
	var value uint64
	rows := result.Iterate()
	for rows.Next(&row, &value) {
		sum += value
	}
	return sum, rows.Err()
}

func (w *worker) ask(rows uint32) (uint64, error) {
	q := query{rows: rows, answer: make(chan answer, 1)}
	w.queries <- q
	a := <-q.answer
	return a.sum, a.err
}

func main() {
	if err := rlimit.RemoveMemlock(); err != nil {
		log.Fatal(err)
	}
	w := &worker{queries: make(chan query)}
	go w.run()
	err := labkit.Serve(func() error {
		sum, err := w.ask(10)
		if err == nil && sum != 360 {
			err = fmt.Errorf("the rows add up to %d", sum)
		}
		return err
	})
	if err != nil {
		log.Fatal(err)
	}
	close(w.queries)
}
