package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// Conditions. Test with errors.Is; the types below carry the place and wrap one of these.
var (
	// ErrClosed reports use after Close, of a Journal or of a Reader.
	ErrClosed = errors.New("journal: closed")
	// ErrLocked reports that another writer, in this process or another, holds the directory.
	ErrLocked = errors.New("journal: directory is locked by another writer")
	// ErrPoisoned reports that an earlier sync failed. It is sticky and wraps the cause.
	ErrPoisoned = errors.New("journal: poisoned by a failed sync; close and reopen")
	// ErrVanished reports that somebody removed a segment's file under its writer. It is noticed at
	// the next sync, of which it is the failure: what is synced has no name any more.
	ErrVanished = errors.New("journal: the file of a segment was removed")
	// ErrWrite reports that a write to a segment failed. It is sticky, since part of what was to
	// be written may be there, and wraps the cause.
	ErrWrite = errors.New("journal: a write failed; close and reopen")
	// ErrFault reports that an access to a mapping failed: the file was truncated or the device
	// failed under it.
	ErrFault = errors.New("journal: memory fault in a mapped segment")
	// ErrNoSpace reports that no further segment could be allocated, or, from Open, that a small file beside
	// the segments could not be written.
	ErrNoSpace = errors.New("journal: no space for another segment")
	// ErrNotFound reports that OpenReader or Verify found no journal in the directory.
	ErrNotFound = errors.New("journal: no journal in directory")
	// ErrOutOfRange reports a first sequence below the oldest one that the journal still holds.
	ErrOutOfRange = errors.New("journal: sequence is before the journal's first")
	// ErrFormatVersion reports a file of a format that this package does not know; the error is a
	// *FormatError.
	ErrFormatVersion = errors.New("journal: unknown format version")

	// ErrPlatform reports an operating system on which a journal can neither be written nor read.
	ErrPlatform = errors.New("journal: not supported on this platform; a journal needs Linux")
	// ErrFileSystem reports a directory on a file system whose mappings and syncs cannot be relied
	// on, such as a network's. See Options.AnyFileSystem.
	ErrFileSystem = errors.New("journal: unsupported file system")

	// ErrBodyTooLarge reports a body of more than Options.MaxBodyBytes.
	ErrBodyTooLarge = errors.New("journal: body too large")
	// ErrKind reports an Entry whose Kind an application may not write.
	ErrKind = errors.New("journal: kind not allowed")
	// ErrBatchTooLarge reports an atomic batch that does not fit a segment.
	ErrBatchTooLarge = errors.New("journal: atomic batch does not fit a segment")
	// ErrBatchOpen reports a Commit, Append or BeginBatch inside an unfinished atomic batch.
	ErrBatchOpen = errors.New("journal: atomic batch is not finished")
	// ErrBatchBytes reports a Stage beyond the bytes that BeginBatch declared.
	ErrBatchBytes = errors.New("journal: atomic batch exceeds its declared bytes")

	// ErrHold reports a hold that cannot be set, or holds that cannot be read.
	ErrHold = errors.New("journal: bad hold")
	// ErrChain reports contents, or links, that are not what the chain of roots says.
	ErrChain = errors.New("journal: the chain does not hold")
	// ErrSignature reports a link of the chain without the signature that it should have.
	ErrSignature = errors.New("journal: bad signature of the chain")
	// ErrNotChained reports a sequence, or a root, that the chain does not have (yet).
	ErrNotChained = errors.New("journal: not in the chain")
	// ErrProof reports a proof that proves nothing.
	ErrProof = errors.New("journal: the proof does not hold")

	// ErrStop is for the function given to Read or Follow to return: it ends them without an
	// error, and the record counts as delivered.
	ErrStop = errors.New("journal: stop reading")

	// ErrDirectory reports a directory whose names cannot be those of a journal: too many, not
	// regular files, or two of one segment id.
	ErrDirectory = errors.New("journal: unusable directory")
)

// Causes inside a CorruptionError.
var (
	// ErrHeader reports a segment header that is not one.
	ErrHeader = errors.New("bad segment header")
	// ErrLength reports a record length that is impossible at its place.
	ErrLength = errors.New("bad record length")
	// ErrChecksum reports bytes that do not match their CRC32C.
	ErrChecksum = errors.New("checksum mismatch")
	// ErrPadding reports non-zero padding after a body.
	ErrPadding = errors.New("padding is not zero")
	// ErrGap reports a sequence that does not follow the one before.
	ErrGap = errors.New("sequence gap")
	// ErrOrder reports a time before that of the previous record.
	ErrOrder = errors.New("time goes backwards")
	// ErrHole reports a zero length where a record was acknowledged.
	ErrHole = errors.New("hole")
	// ErrSize reports a file that is shorter or longer than its header says.
	ErrSize = errors.New("wrong file size")
	// ErrSeal reports a missing or contradictory seal of a segment that has a successor.
	ErrSeal = errors.New("bad seal")
	// ErrIndex reports an index of a segment that does not describe it.
	ErrIndex = errors.New("bad index")
	// ErrForeign reports a segment of another journal.
	ErrForeign = errors.New("segment of another journal")
	// ErrLookAhead reports a damaged place behind which there are more pretended records than
	// can be checked in bounded time. No crash writes that.
	ErrLookAhead = errors.New("too many pretended records after a damaged one")
)

// CorruptionError reports an acknowledged record, or the frame around it, that no longer
// verifies. Nothing is truncated; the operator decides.
type CorruptionError struct {
	Segment  string // base name of the file
	Offset   int64  // bytes from the start of Segment
	Sequence int64  // sequence expected at Offset; 0 if unknown
	Err      error  // cause, such as ErrChecksum or ErrGap
}

func (e *CorruptionError) Error() string {
	record := ""
	if e.Sequence > 0 {
		record = fmt.Sprintf("record %d at ", e.Sequence)
	}
	return fmt.Sprintf("journal: %s: %soffset %s: %s; what was acknowledged there cannot be read: bring the file back from a copy, or run \"headrace repair --dry-run DIR\"",
		e.Segment, record, thousands(e.Offset), bare(e.Err))
}

func (e *CorruptionError) Unwrap() error { return e.Err }

// FormatError reports a file that was written by a newer program than this one, whose format is
// unknown here: a higher version, or features that this version did not have. Nothing was changed.
type FormatError struct {
	Version, Known          uint16 // the file's, and the highest that this program knows
	Features, KnownFeatures uint32 // bits, likewise; only where the version is known
}

func (e *FormatError) Error() string {
	what := fmt.Sprintf("format version %d, this program knows versions up to %d", e.Version, e.Known)
	if e.Version == e.Known {
		what = fmt.Sprintf("format version %d with features %#x, this program knows version %d with features %#x",
			e.Version, e.Features, e.Known, e.KnownFeatures)
	}
	return what + "; use a newer headrace (nothing was changed)"
}

// Is makes errors.Is(err, ErrFormatVersion) true.
func (e *FormatError) Is(target error) bool { return target == ErrFormatVersion }

// NoSpaceError reports that a segment could not be allocated. Everything committed before is
// intact, and the next Append tries again.
type NoSpaceError struct {
	Dir   string // the journal's directory
	Bytes int64  // bytes asked for
	Err   error  // syscall.ENOSPC or EDQUOT, wrapped
}

func (e *NoSpaceError) Error() string {
	return fmt.Sprintf("journal: %s: cannot allocate a segment of %s bytes: %s; free space or lower SegmentBytes",
		e.Dir, thousands(e.Bytes), bare(e.Err))
}

func (e *NoSpaceError) Unwrap() error { return e.Err }

// Is makes errors.Is(err, ErrNoSpace) true.
func (e *NoSpaceError) Is(target error) bool { return target == ErrNoSpace }

// said is the package's name, as it begins every message.
const said = "journal: "

// errorf is fmt.Errorf of a message that begins with the package's name, and has it only there: the errors among args are
// without it.
func errorf(format string, args ...any) error {
	for i, a := range args {
		if err, ok := a.(error); ok {
			args[i] = inner{err}
		}
	}
	return fmt.Errorf(said+format, args...)
}

// inner is an error inside another one of the package.
type inner struct{ err error }

func (e inner) Error() string { return bare(e.err) }
func (e inner) Unwrap() error { return e.err }

// bare is the message of an error without the package's name, if it begins with that; none of nil.
func bare(err error) string {
	if err == nil {
		return ""
	}
	return strings.TrimPrefix(err.Error(), said)
}

// named is err as a caller gets it. Errors of the operating system, and those of a file's format, do not say whose they are
// otherwise. Everybody else's stay as they are: those of a context, or of what the caller gave.
func named(err error) error {
	only := err
	for {
		all, ok := only.(interface{ Unwrap() []error })
		if !ok || len(all.Unwrap()) != 1 {
			break
		}
		only = all.Unwrap()[0]
	}
	switch only.(type) {
	case *fs.PathError, *os.LinkError, *os.SyscallError, syscall.Errno, *FormatError:
		return errorf("%w", only)
	}
	return err
}

// isNoSpace tells whether err is the kernel's word for a full disk, quota or size limit.
func isNoSpace(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EFBIG)
}

// thousands formats n with separators, as 65,544.
func thousands(n int64) string {
	s := strconv.FormatInt(n, 10)
	neg := ""
	if n < 0 {
		neg, s = "-", s[1:]
	}
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return neg + s
}
