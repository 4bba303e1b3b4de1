package erasure_test

import (
	"testing"

	"github.com/gembok-e2ee/gembok/ratchet/internal/erasure"
)

func BenchmarkEncoder(b *testing.B) {
	o := object(1152)
	b.Run("Object", func(b *testing.B) {
		e := erasure.NewEncoder(o)
		b.ReportAllocs()
		for b.Loop() {
			e.Next()
		}
	})
	b.Run("ToCoefficients", func(b *testing.B) {
		e := erasure.NewEncoder(o).WithIndex(36)
		b.ReportAllocs()
		for b.Loop() {
			e.Next()
		}
	})
	b.Run("Coefficients", func(b *testing.B) {
		e, _, _ := erasure.NewEncoder(o).WithIndex(36).Next()
		b.ReportAllocs()
		for b.Loop() {
			e.Next()
		}
	})
}

func BenchmarkDecoder(b *testing.B) {
	o := object(1152)
	for _, c := range []struct {
		name string
		step uint16
	}{{"Object", 1}, {"HalfLost", 2}} {
		d := erasure.NewDecoder(len(o))
		for k := range uint16(35) {
			chunk := chunkAt(o, k*c.step)
			d, _ = d.Add(k*c.step, &chunk)
		}
		last := chunkAt(o, 35*c.step)
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				d.Add(35*c.step, &last)
			}
		})
	}
}
