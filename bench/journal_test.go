package bench

import (
	"encoding/binary"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/headrace/headrace/journal"
)

// appendBatch is how many records share a commit, as they do behind a busy ring.
const appendBatch = 64

// BenchmarkAppend appends b.N records without sync, reads them back untimed, and compares sums. One
// operation is one record.
func BenchmarkAppend(b *testing.B) {
	for _, bytes := range []int{64, 128, 1024} {
		b.Run(fmt.Sprintf("body=%d/batch=%d", bytes, appendBatch), func(b *testing.B) {
			j := openJournal(b)
			b.ReportAllocs()
			b.SetBytes(int64(bytes))
			b.ResetTimer()
			appendRecords(b, j, b.N, bytes)
			b.StopTimer()
			r, err := j.NewReader(1, journal.ReaderOptions{})
			if err != nil {
				b.Fatal(err)
			}
			readRecords(b, r, b.N)
		})
	}
}

// BenchmarkReplay reads a journal of 500,000 records again and again until b.N records are read, from
// the page cache, one a call or in spans. One operation is one record.
func BenchmarkReplay(b *testing.B) {
	const records, bytes = 500_000, 128
	j := openJournal(b)
	appendRecords(b, j, records, bytes)
	for _, form := range []struct {
		name string
		read func(*testing.B, *journal.Reader, int)
	}{{"records", readRecords}, {"spans", readSpans}} {
		b.Run(fmt.Sprintf("body=%d/%s", bytes, form.name), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(bytes)
			for left := b.N; left > 0; left -= records {
				n := min(left, records)
				r, err := j.NewReader(1, journal.ReaderOptions{Until: int64(n)})
				if err != nil {
					b.Fatal(err)
				}
				form.read(b, r, n)
			}
		})
	}
}

// openJournal makes a journal that never syncs by itself; it and its files end with the benchmark.
func openJournal(b *testing.B) *journal.Journal {
	b.Helper()
	j, err := journal.Open(filepath.Join(b.TempDir(), "log"), journal.Options{Durability: journal.None()})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := j.Close(); err != nil {
			b.Error(err)
		}
	})
	return j
}

// appendRecords appends n records in batches. Each body is zero but for its number at the front and
// a multiple of it at the end; the time is read once a batch.
func appendRecords(b *testing.B, j *journal.Journal, n, bytes int) {
	b.Helper()
	body := make([]byte, bytes)
	e := journal.Entry{Type: 16, Body: body}
	for i := 1; i <= n; {
		e.Time = time.Now().UnixNano()
		for range min(appendBatch, n-i+1) {
			binary.LittleEndian.PutUint64(body, uint64(i))
			binary.LittleEndian.PutUint64(body[bytes-8:], uint64(i)*spread)
			if _, err := j.Stage(e); err != nil {
				b.Fatal(err)
			}
			i++
		}
		if err := j.Commit(); err != nil {
			b.Fatal(err)
		}
	}
}

// readRecords reads all that r delivers, fails unless these are the records 1..n as appended, and
// closes r.
func readRecords(b *testing.B, r *journal.Reader, n int) {
	b.Helper()
	sum := uint64(0)
	got, err := r.Read(func(rec journal.Record) error {
		sum = sum*31 + bodyWords(rec.Body) // the multiplication makes order count
		return nil
	})
	checkRead(b, r, n, got, sum, err)
}

// readSpans is readRecords with a call for each span.
func readSpans(b *testing.B, r *journal.Reader, n int) {
	b.Helper()
	sum := uint64(0)
	got, err := r.ReadSpans(func(recs []journal.Record) error {
		for i := range recs {
			sum = sum*31 + bodyWords(recs[i].Body)
		}
		return nil
	})
	checkRead(b, r, n, got, sum, err)
}

// bodyWords adds up the words of a body.
func bodyWords(body []byte) (sum uint64) {
	for ; len(body) >= 8; body = body[8:] {
		sum += binary.LittleEndian.Uint64(body)
	}
	return sum
}

func checkRead(b *testing.B, r *journal.Reader, n, got int, sum uint64, err error) {
	b.Helper()
	if err == nil {
		err = r.Close()
	}
	if err != nil {
		b.Fatal(err)
	}
	want := uint64(0)
	for i := 1; i <= n; i++ {
		want = want*31 + uint64(i) + uint64(i)*spread
	}
	if got != n || sum != want {
		b.Fatalf("read %d records with sum %#x, want %d with %#x", got, sum, n, want)
	}
}

// spread is any large odd number.
const spread = 0x9e3779b97f4a7c15
