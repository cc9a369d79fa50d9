package journal

import (
	"fmt"
	"testing"
)

func BenchmarkAppend(b *testing.B) {
	for _, size := range []int{64, 128, 1024} {
		for _, how := range []string{"stage=64", "batch=64", "append"} {
			b.Run(fmt.Sprintf("body=%d/%s/sync=none", size, how), func(b *testing.B) {
				j, err := Open(b.TempDir(), Options{Durability: None(), Backend: BackendMmap, SegmentBytes: 256 << 20})
				if err != nil {
					b.Fatal(err)
				}
				defer j.Close()
				body := make([]byte, size)
				es := make([]Entry, 64)
				for i := range es {
					es[i] = Entry{Type: 1, Time: 1, Body: body}
				}
				b.SetBytes(int64(size))
				b.ReportAllocs()
				b.ResetTimer()
				for i := 0; i < b.N; i += 64 {
					var err error
					switch how {
					case "stage=64":
						for k := range es {
							if _, err = j.Stage(es[k]); err != nil {
								break
							}
						}
						if err == nil {
							err = j.Commit()
						}
					case "batch=64":
						_, err = j.AppendBatch(es)
					default:
						for k := range es {
							if _, err = j.Append(es[k]); err != nil {
								break
							}
						}
					}
					if err != nil {
						b.Fatal(err)
					}
				}
				b.StopTimer()
				b.ReportMetric(float64(j.Stats().Stalls), "stalls")
				b.ReportMetric(float64(j.Stats().Rolls), "rolls")
			})
		}
	}
}

func BenchmarkRead(b *testing.B) {
	for _, size := range []int{128, 1024} {
		b.Run(fmt.Sprintf("body=%d", size), func(b *testing.B) {
			const n = 500_000
			j, err := Open(b.TempDir(), Options{Durability: None()})
			if err != nil {
				b.Fatal(err)
			}
			defer j.Close()
			body := make([]byte, size)
			for i := 0; i < n; i++ {
				if _, err := j.Stage(Entry{Body: body, Time: 1}); err != nil {
					b.Fatal(err)
				}
			}
			if err := j.Commit(); err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(size))
			b.ReportAllocs()
			b.ResetTimer()
			sum := 0
			for done := 0; done < b.N; {
				r, err := j.NewReader(0, ReaderOptions{Until: min(n, int64(b.N-done))})
				if err != nil {
					b.Fatal(err)
				}
				k, err := r.Read(func(rec Record) error { sum += len(rec.Body); return nil })
				if err != nil || k == 0 {
					b.Fatal(k, err)
				}
				done += k
				r.Close()
			}
		})
	}
}
