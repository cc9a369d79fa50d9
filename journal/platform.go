package journal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"github.com/headrace/headrace/internal/sysio"
)

// fileSystemOf is replaced by tests.
var fileSystemOf = sysio.FileSystemOf

// checkFileSystem refuses, or announces, what dir lies on. dir need not be there yet.
func checkFileSystem(dir string, o Options) error {
	at, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	for {
		if _, err := os.Stat(at); err == nil || filepath.Dir(at) == at {
			break
		}
		at = filepath.Dir(at)
	}
	fs := fileSystemOf(at)
	log := o.Logger.With("dir", dir, "fileSystem", fs.Name)
	switch fs.Class {
	case sysio.Remote:
		if !o.AnyFileSystem {
			return fmt.Errorf("%w: %s lies on %s, where a mapped file and its lock are not this machine's alone; use a local disk, or set AnyFileSystem", ErrFileSystem, dir, fs.Name)
		}
		log.Warn("journal: a file system that is not supported, by Options.AnyFileSystem")
	case sysio.CopyOnWrite:
		log.Warn("journal: copy-on-write: a full disk may end the journal with ErrFault where others report ErrNoSpace")
	case sysio.Memory:
		log.Info("journal: in memory: it survives the process and not the machine")
	case sysio.Stacked, sysio.Unknown:
		log.Info("journal: nothing is known of this file system")
	}
	return nil
}

// refusal says of a file that is no file of a journal what it is.
func refusal(name string, err error) error {
	if st, e := os.Lstat(name); e == nil && !st.Mode().IsRegular() {
		return fmt.Errorf("%w: %s is no regular file (%v): move it out of the directory", ErrDirectory, name, st.Mode())
	}
	return platform(err)
}

// platform names the platform in an error that says that it cannot.
func platform(err error) error {
	if errors.Is(err, sysio.ErrUnsupported) {
		return fmt.Errorf("%w (%s/%s)", ErrPlatform, runtime.GOOS, runtime.GOARCH)
	}
	return err
}
