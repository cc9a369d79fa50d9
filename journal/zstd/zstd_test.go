package zstd

import (
	"bytes"
	"context"
	"fmt"
	"runtime"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/headrace/headrace/journal"
)

func TestCodec_RoundTrip(t *testing.T) {
	for _, n := range []int{1, 8, 1000, 128 << 10, 3 << 20} {
		src := make([]byte, n)
		for i := range src {
			src[i] = byte(i * i / 7)
		}
		b, err := Codec().Encode(make([]byte, 10), src)
		if err != nil {
			t.Fatal(err)
		}
		got := make([]byte, n)
		if err := Codec().Decode(got, b); err != nil || !bytes.Equal(got, src) {
			t.Fatalf("%d bytes: %v", n, err)
		}
		if Codec().Decode(make([]byte, n+1), b) == nil || Codec().Decode(make([]byte, n-1), b) == nil {
			t.Fatalf("%d bytes: another size is taken", n)
		}
		if n > 8 && Codec().Decode(got, b[:len(b)-1]) == nil {
			t.Fatalf("%d bytes: cut", n)
		}
	}
}

// A frame that unpacks to a gigabyte costs what the block may have.
func TestCodec_Bomb(t *testing.T) {
	var out bytes.Buffer
	w, err := zstd.NewWriter(&out)
	if err != nil {
		t.Fatal(err)
	}
	zeros := make([]byte, 1<<20)
	for range 1 << 10 {
		if _, err := w.Write(zeros); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if err := Codec().Decode(make([]byte, 1000), out.Bytes()); err == nil {
		t.Fatal("a bomb was taken")
	}
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 64<<20 {
		t.Fatalf("%d bytes allocated", n)
	}
}

func TestArchive_Zstd(t *testing.T) {
	dir := t.TempDir()
	access := journal.ArchiveAccess{
		Codecs: []journal.Codec{Codec()},
		Key:    func(uint32) ([]byte, error) { return make([]byte, 32), nil },
	}
	j, err := journal.Open(dir, journal.Options{SegmentBytes: 256 << 10, Archives: access, Chain: true})
	if err != nil {
		t.Fatal(err)
	}
	last := int64(0)
	for j.Stats().Rolls < 3 {
		if last, err = j.Append(journal.Entry{Body: fmt.Appendf(nil, "event %d of a series of events that are all alike", last+1)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := j.Sync(); err != nil {
		t.Fatal(err)
	}
	if _, err := j.ChainNow(context.Background()); err != nil {
		t.Fatal(err)
	}
	rep, err := j.Archive(context.Background(), journal.ArchiveOptions{Codec: Codec(), KeyID: 7})
	if err != nil || rep.Archived != 3 || rep.After*3 > rep.Before {
		t.Fatalf("%+v, %v", rep, err)
	}
	r, err := j.NewReader(0, journal.ReaderOptions{})
	if err != nil {
		t.Fatal(err)
	}
	n := int64(0)
	if _, err := r.Read(func(rec journal.Record) error {
		if n++; string(rec.Body) != fmt.Sprintf("event %d of a series of events that are all alike", n) {
			return fmt.Errorf("record %d: %q", n, rec.Body)
		}
		return nil
	}); err != nil || n != last {
		t.Fatalf("%d of %d: %v", n, last, err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := journal.Verify(dir, journal.VerifyOptions{Archives: access}); err != nil {
		t.Fatal(err)
	}
}

func FuzzDecode(f *testing.F) {
	b, _ := Codec().Encode(nil, []byte("some bytes, some bytes, some bytes"))
	f.Add(b, 34)
	f.Fuzz(func(_ *testing.T, b []byte, n int) {
		if n >= 0 && n < 1<<20 {
			_ = Codec().Decode(make([]byte, n), b)
		}
	})
}
