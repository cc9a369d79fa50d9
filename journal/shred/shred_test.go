package shred

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/headrace/headrace/journal"
)

func openStore(t testing.TB, dir string, o FileOptions) *FileStore {
	t.Helper()
	s, err := OpenFile(dir, o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

func TestBox_SealOpenErase(t *testing.T) {
	for name, o := range map[string]FileOptions{"plain": {}, "master": {Master: bytes.Repeat([]byte{9}, 32)}} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := openStore(t, dir, o)
			box := NewBox(s)
			seen := map[string]bool{}
			var ann, bob [][]byte
			for i := range 50 {
				for subject, bodies := range map[string]*[][]byte{"ann": &ann, "bob": &bob} {
					b, err := box.Seal([]byte("x"), subject, []byte("the same text"), []byte("ad"))
					require.NoError(t, err)
					b = b[1:]
					require.Len(t, b, len("the same text")+Overhead)
					require.False(t, seen[string(b[4:headerBytes])], "key, session and number meet once")
					seen[string(b[4:headerBytes])] = true
					*bodies = append(*bodies, b)
				}
				if i == 25 {
					box = NewBox(s) // another session
				}
			}
			open := func(s KeyStore, b []byte) error {
				plain, err := NewBox(s).Open(nil, b, []byte("ad"))
				if err == nil {
					require.Equal(t, "the same text", string(plain))
				}
				return err
			}
			for i := range ann {
				require.NoError(t, open(s, ann[i]))
				require.NoError(t, open(s, bob[i]))
			}
			_, err := box.Open(nil, ann[0], nil)
			require.ErrorIs(t, err, ErrDamaged)
			for off := range ann[0] {
				b := bytes.Clone(ann[0])
				b[off] ^= 4
				require.Error(t, open(s, b), "byte %d", off)
			}
			require.ErrorIs(t, open(s, []byte("HRS")), ErrNotSealed)
			future := bytes.Clone(ann[0])
			future[3] = 2
			require.ErrorIs(t, open(s, future), ErrVersion)

			ro := o
			ro.ReadOnly = true
			other := openStore(t, dir, ro)
			warm := NewBox(other)
			_, err = warm.Open(nil, ann[0], []byte("ad"))
			require.NoError(t, err)
			require.ErrorIs(t, other.Destroy("ann"), ErrStore)
			k, err := s.ForSubject("ann")
			require.NoError(t, err)

			require.NoError(t, s.Destroy("ann"))
			require.NoError(t, s.Destroy("ann"), "again")
			require.NoError(t, s.Destroy("nobody"))
			_, err = warm.Open(nil, ann[0], []byte("ad"))
			require.ErrorIs(t, err, ErrErased, "in a process that had it open")
			raw, err := os.ReadFile(filepath.Join(dir, keysName))
			require.NoError(t, err)
			require.False(t, bytes.Contains(raw, k.Secret[:]))
			require.Equal(t, 1, s.Subjects())
			for i := range ann {
				require.ErrorIs(t, open(s, ann[i]), ErrErased)
				require.NoError(t, open(s, bob[i]))
			}

			// Ann comes back: another key, and the old bodies stay erased, after a restart too.
			again, err := box.Seal(nil, "ann", []byte("the same text"), []byte("ad"))
			require.NoError(t, err)
			require.NoError(t, s.Close())
			s = openStore(t, dir, o)
			require.NoError(t, open(s, again))
			require.NoError(t, open(other, again), "a reader finds keys that were made later")
			require.ErrorIs(t, open(s, ann[0]), ErrErased)
			empty := openStore(t, t.TempDir(), o)
			require.ErrorIs(t, open(empty, bob[0]), ErrUnknownKey, "a lost store is no erasure")
			_, err = other.ForSubject("carl")
			require.ErrorIs(t, err, ErrUnknownKey)
		})
	}
}

func TestFileStore_Refusals(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir, FileOptions{})
	_, err := OpenFile(dir, FileOptions{})
	require.ErrorIs(t, err, ErrStore, "one writer")
	for i := range 5 {
		_, err := s.ForSubject(fmt.Sprint("subject ", i))
		require.NoError(t, err)
	}
	require.NoError(t, s.Close())
	_, err = s.ForSubject("x")
	require.ErrorIs(t, err, ErrStore)
	_, err = OpenFile(dir, FileOptions{Master: make([]byte, 32)})
	require.ErrorIs(t, err, ErrStore)
	_, err = OpenFile(dir, FileOptions{Master: make([]byte, 31)})
	require.ErrorIs(t, err, ErrStore)
	_, err = OpenFile(filepath.Join(dir, "none"), FileOptions{ReadOnly: true})
	require.ErrorIs(t, err, os.ErrNotExist)

	master := t.TempDir()
	m := openStore(t, master, FileOptions{Master: make([]byte, 32)})
	k, err := m.ForSubject("x")
	require.NoError(t, err)
	require.NoError(t, m.Close())
	wrong := openStore(t, master, FileOptions{Master: bytes.Repeat([]byte{1}, 32)})
	_, err = wrong.ByID(k.ID)
	require.ErrorIs(t, err, ErrStore)
	_, err = OpenFile(master, FileOptions{ReadOnly: true})
	require.ErrorIs(t, err, ErrStore, "made with a master key")

	path := filepath.Join(dir, keysName)
	good, err := os.ReadFile(path)
	require.NoError(t, err)
	for off := 0; off < len(good); off += 7 {
		b := bytes.Clone(good)
		b[off] ^= 1
		require.NoError(t, os.WriteFile(path, b, 0o600))
		_, err := OpenFile(dir, FileOptions{})
		require.ErrorIs(t, err, ErrStore, "byte %d: the last slot's key is not written over either", off)
	}
	for _, part := range [][2]int{{0, slotBytes}, {8, slotBytes}, {0, slotBytes - 8}, {slotBytes - 8, slotBytes}, {0, 8}} { // a crash while a key is made
		b := bytes.Clone(good)
		clear(b[4*slotBytes+part[0] : 4*slotBytes+part[1]])
		require.NoError(t, os.WriteFile(path, b, 0o600))
		s, err := OpenFile(dir, FileOptions{})
		require.NoError(t, err, "%v", part)
		require.Equal(t, 4, s.Subjects())
		require.NoError(t, s.Close())
	}
	for n := len(good); n >= 0; n -= 100 { // a crash while a key is made
		require.NoError(t, os.WriteFile(path, good[:n], 0o600))
		s, err := OpenFile(dir, FileOptions{})
		require.NoError(t, err)
		require.Equal(t, n/slotBytes, s.Subjects())
		_, err = s.ForSubject("new")
		require.NoError(t, err)
		require.NoError(t, s.Close())
	}
	b := bytes.Clone(good)
	var sl slot
	require.NoError(t, sl.decode(b))
	sl.encode(b)
	b[4] = 2
	sealSlot(b)
	require.NoError(t, os.WriteFile(path, b, 0o600))
	_, err = OpenFile(dir, FileOptions{})
	require.ErrorIs(t, err, ErrVersion)
	require.ErrorContains(t, err, "2 of a key store, this program knows 1")
}

// A key is there, and an erasure done, when the disk has it and not before; a sync that fails is final, and nobody is told
// that a key was destroyed.
func TestFileStore_SyncsBeforeItAnswers(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir, FileOptions{})
	synced := func() []byte { // what the disk has, as far as anybody promised
		b, err := os.ReadFile(filepath.Join(dir, keysName))
		require.NoError(t, err)
		return b
	}
	var disk []byte
	syncs, fails := 0, error(nil)
	s.sync = func() error {
		syncs++
		if fails == nil {
			disk = synced()
		}
		return fails
	}
	k, err := s.ForSubject("ann")
	require.NoError(t, err)
	require.Equal(t, 1, syncs)
	require.True(t, bytes.Contains(disk, k.Secret[:]), "the key had been synced when it was handed out")
	_, err = s.ForSubject("ann")
	require.NoError(t, err)
	require.Equal(t, 1, syncs)
	require.NoError(t, s.Destroy("ann"))
	require.Equal(t, 2, syncs)
	require.False(t, bytes.Contains(disk, k.Secret[:]), "the disk had forgotten the key when Destroy returned")
	_, err = s.ForSubject("bob")
	require.NoError(t, err)
	fails = os.ErrDeadlineExceeded
	require.ErrorIs(t, s.Destroy("bob"), fails)
	require.ErrorIs(t, s.Destroy("bob"), ErrStore, "for good")
	_, err = s.ForSubject("carl")
	require.ErrorIs(t, err, ErrStore)
}

// The store against a map, with restarts.
func TestFileStore_AgainstAMap(t *testing.T) {
	dir := t.TempDir()
	rnd := rand.New(rand.NewPCG(5, 6))
	alive, gone := map[string]Key{}, map[KeyID]bool{}
	s := openStore(t, dir, FileOptions{})
	for range 600 {
		subject := fmt.Sprint(rnd.IntN(40))
		switch rnd.IntN(8) {
		case 0:
			require.NoError(t, s.Close())
			s = openStore(t, dir, FileOptions{})
		case 1, 2:
			if k, ok := alive[subject]; ok {
				gone[k.ID] = true
				delete(alive, subject)
			}
			require.NoError(t, s.Destroy(subject))
		default:
			k, err := s.ForSubject(subject)
			require.NoError(t, err)
			if was, ok := alive[subject]; ok {
				require.Equal(t, was, k)
			}
			require.False(t, gone[k.ID])
			alive[subject] = k
		}
		require.Equal(t, len(alive), s.Subjects())
	}
	for _, k := range alive {
		got, err := s.ByID(k.ID)
		require.NoError(t, err)
		require.Equal(t, k, got)
	}
	for id := range gone {
		_, err := s.ByID(id)
		require.ErrorIs(t, err, ErrErased)
	}
}

// The chain, its proofs and a backup hold before and after an erasure; readers go on behind it.
func TestErase_ChainAndBackupHold(t *testing.T) {
	dir, copied := t.TempDir(), filepath.Join(t.TempDir(), "copy")
	keys := openStore(t, t.TempDir(), FileOptions{})
	box := NewBox(keys)
	j, err := journal.Open(dir, journal.Options{SegmentBytes: journal.MinSegmentBytes, Chain: true})
	require.NoError(t, err)
	for i := range 1000 {
		body := fmt.Appendf(nil, "order %d", i)
		if i%3 != 0 {
			body, err = box.Seal(nil, fmt.Sprint("customer ", i%3), body, nil)
			require.NoError(t, err)
		}
		_, err := j.Append(journal.Entry{Body: body})
		require.NoError(t, err)
	}
	require.NoError(t, j.Sync())
	link, err := j.ChainNow(context.Background())
	require.NoError(t, err)
	require.NoError(t, j.Close())
	_, err = journal.Backup(dir, copied, journal.BackupOptions{})
	require.NoError(t, err)
	require.NoError(t, keys.Destroy("customer 1"))
	for _, d := range []string{dir, copied} {
		_, err := journal.Verify(d, journal.VerifyOptions{Anchor: link.Root})
		require.NoError(t, err)
		p, err := journal.Prove(d, 2, journal.ProveOptions{Anchor: link.Root})
		require.NoError(t, err)
		rec, err := journal.VerifyProof(p, link.Root, nil)
		require.NoError(t, err, "the proof is of the sealed body")
		require.True(t, IsSealed(rec.Body))
		r, err := journal.OpenReader(d, 0, journal.ReaderOptions{})
		require.NoError(t, err)
		n := 0
		_, err = r.Read(box.Reveal(func(rec journal.Record, erased error) error {
			if n%3 == 1 {
				require.ErrorIs(t, erased, ErrErased)
				require.Nil(t, rec.Body)
			} else {
				require.NoError(t, erased)
				require.Equal(t, fmt.Sprintf("order %d", n), string(rec.Body))
			}
			n++
			return nil
		}))
		require.NoError(t, err)
		require.Equal(t, 1000, n)
		require.NoError(t, r.Close())
	}
	lost := NewBox(openStore(t, t.TempDir(), FileOptions{}))
	r, err := journal.OpenReader(dir, 0, journal.ReaderOptions{})
	require.NoError(t, err)
	_, err = r.Read(lost.Reveal(func(journal.Record, error) error { return nil }))
	require.ErrorIs(t, err, ErrUnknownKey)
	require.NoError(t, r.Close())
}

func TestBox_ManyGoroutines(t *testing.T) {
	box := NewBox(openStore(t, t.TempDir(), FileOptions{}))
	var mu sync.Mutex
	seen := map[string]bool{}
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 50 {
				b, err := box.Seal(nil, fmt.Sprint(i%3), fmt.Appendf(nil, "%d", g), nil)
				if err == nil {
					_, err = box.Open(nil, b, nil)
				}
				mu.Lock()
				if err != nil || seen[string(b[:headerBytes])] {
					t.Errorf("%v, or a nonce twice", err)
				}
				seen[string(b[:headerBytes])] = true
				mu.Unlock()
			}
		})
	}
	wg.Wait()
}

// sealSlot makes a slot's checksum right again.
func sealSlot(b []byte) { binary.LittleEndian.PutUint32(b[slotBytes-4:], crc(b[:slotBytes-4])) }

func FuzzOpen(f *testing.F) {
	keys := openStore(f, f.TempDir(), FileOptions{})
	box := NewBox(keys)
	b, err := box.Seal(nil, "subject", []byte("text"), nil)
	require.NoError(f, err)
	f.Add(b)
	f.Add([]byte(magic))
	f.Fuzz(func(t *testing.T, body []byte) {
		plain, err := box.Open(nil, body, nil)
		if err == nil && (!bytes.Equal(body, b) || string(plain) != "text") {
			t.Fatal("forged")
		}
	})
}

func FuzzSlot(f *testing.F) {
	b := make([]byte, slotBytes)
	(&slot{state: stateAlive, id: KeyID{1}}).encode(b)
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) != slotBytes {
			return
		}
		sealSlot(b)
		var s slot
		if err := s.decode(b); err != nil {
			if !errors.Is(err, ErrStore) && !errors.Is(err, ErrVersion) {
				t.Fatal(err)
			}
			return
		}
		c := make([]byte, slotBytes)
		s.encode(c)
		var again slot
		if again.decode(c) != nil || again != s {
			t.Fatalf("%+v, %+v", s, again)
		}
	})
}
