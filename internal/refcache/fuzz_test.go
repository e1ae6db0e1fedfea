package refcache

import (
	"context"
	"os"
	"testing"
)

// FuzzOpen opens any bytes as a cache file: never a panic, and a file that opens can be continued and read again. Its new inputs take
// long to shrink: run it with -fuzzminimizetime 20x.
func FuzzOpen(f *testing.F) {
	const n = 3
	whole := wholeFile(f, n)
	f.Add(whole)
	f.Add(whole[:len(whole)-1])
	f.Add(whole[:headerHead+5])
	f.Add(append(whole[:len(whole):len(whole)], make([]byte, 64)...))
	f.Add(append(whole[:len(whole):len(whole)], head(1<<25)...))
	f.Add(append(whole[:len(whole):len(whole)], raw(2, 5, 5)...))
	f.Add(append(whole[:len(whole):len(whole)], raw(uint16(Entropies), 5, 5)...))
	f.Add(wholeFileWithEntropies(f, n))
	f.Add([]byte("DPO"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		dir := write(t, b)
		inspected, err := Inspect(dir)
		if err != nil {
			t.Fatal(err)
		}
		verified, err := Verify(context.Background(), dir, nil)
		if err != nil || inspected[0].Err != nil && verified[0].Err == nil {
			t.Fatalf("Verify: %+v, %v; Inspect: %+v", verified, err, inspected)
		}
		c, err := Open(dir, testFP, testFacts, testKeys(n), Entropies)
		if err != nil {
			return
		}
		defer c.Close()
		w, err := c.Lock(context.Background(), nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range c.Missing() {
			if err := w.Append(testKey(i), testLogps(i), testEntropies(i)); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		again, err := Open(dir, testFP, testFacts, testKeys(n), Entropies)
		if err != nil {
			t.Fatalf("after a writer had continued it: %v", err)
		}
		defer again.Close()
		if missing := again.Missing(); len(missing) != 0 {
			t.Fatalf("missing after all were written: %v", missing)
		}
		for i := range n {
			if _, ok, err := again.Read(testKey(i)); !ok || err != nil {
				t.Fatalf("sequence %d: %v, %v", i, ok, err)
			}
		}
		if stat, err := os.Stat(again.Path()); err != nil || stat.Size() != again.end {
			t.Fatalf("file has %d bytes, its records end at %d (%v)", stat.Size(), again.end, err)
		}
	})
}
