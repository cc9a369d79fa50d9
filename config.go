package headrace

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"os"
	"slices"
	"strings"
)

// ErrConfig reports a configuration that cannot be understood: no URL, a scheme that nobody has registered, an
// option that the scheme does not have, or a value that the option does not take.
var ErrConfig = errors.New("headrace: unusable configuration")

// Config says which implementation of Publisher an application uses, and how. It is what stands in an environment
// variable or a file:
//
//	memory:                                        OpenMemory
//	memory:?slots=1024
//	journal:///var/lib/shop?durability=group       Open, in the directory /var/lib/shop
//	journal:data/shop                              Open, in a directory below the current one
//	SCHEME://user:password@host:port/path?…        what a package has registered; see RegisterDriver
//
// The options of memory and journal have the names of Options' fields, in lower case with hyphens: slots, slot-bytes,
// dedup-window, feedback-bytes, overflow-bytes, cascade-depth, max-body-bytes, and wait (adaptive, park,
// yield, sleep, spin). journal has besides: durability (none, batch, interval:1s, group, group:5ms or
// group:5ms:1MiB), segment-bytes, recycle-segments, verify-all, chain, chain-every, any-file-system, accept-lost. Bytes
// may end in KiB, MiB or GiB; times are Go's; yes-or-no options are true or false.
type Config struct {
	Scheme  string            // "memory", "journal", or a registered one
	User    *url.Userinfo     // nil = none
	Host    string            // host and port; empty for memory and journal
	Path    string            // the directory, for journal
	Options map[string]string // by name
}

// ParseConfig reads a URL. All of its errors wrap ErrConfig, and none contains a password.
func ParseConfig(s string) (Config, error) {
	u, err := url.Parse(s)
	if err != nil {
		var of *url.Error // its text is the whole URL
		if errors.As(err, &of) {
			err = of.Err
		}
		return Config{}, fmt.Errorf("%w: not a URL: %w", ErrConfig, err)
	}
	c := Config{Scheme: u.Scheme, User: u.User, Host: u.Host, Path: u.Path}
	switch {
	case u.Scheme == "":
		return Config{}, fmt.Errorf("%w: no scheme before a colon; want one of %s", ErrConfig, strings.Join(Drivers(), ", "))
	case u.Fragment != "":
		return Config{}, fmt.Errorf("%w: a fragment (#%s) means nothing here", ErrConfig, u.Fragment)
	}
	if u.Opaque != "" {
		if c.Path, err = url.PathUnescape(u.Opaque); err != nil {
			return Config{}, fmt.Errorf("%w: path: %w", ErrConfig, err)
		}
	}
	values, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return Config{}, fmt.Errorf("%w: options: %w", ErrConfig, err)
	}
	for name, v := range values {
		if len(v) > 1 {
			return Config{}, fmt.Errorf("%w: option %q comes %d times", ErrConfig, name, len(v))
		}
		if c.Options == nil {
			c.Options = map[string]string{}
		}
		c.Options[name] = v[0]
	}
	return c, nil
}

// ConfigFromEnv is ParseConfig of the environment variable with this name, or of fallback where it is
// not set or empty.
func ConfigFromEnv(name, fallback string) (Config, error) {
	s := os.Getenv(name)
	if s == "" {
		return ParseConfig(fallback)
	}
	c, err := ParseConfig(s)
	if err != nil {
		return c, fmt.Errorf("environment variable %s: %w", name, err)
	}
	return c, nil
}

// String returns the configuration as a URL, its password left out.
func (c Config) String() string {
	values := url.Values{}
	for name, v := range c.Options {
		values.Set(name, v)
	}
	u := url.URL{Scheme: c.Scheme, User: c.User, Host: c.Host, Path: c.Path, RawQuery: values.Encode()}
	if c.Host == "" && c.User == nil && c.Path != "" && !strings.HasPrefix(c.Path, "/") {
		u.Path, u.Opaque = "", (&url.URL{Path: c.Path}).EscapedPath()
	}
	return u.Redacted()
}

// refuse returns an error for what the configuration says and its scheme does not know.
func (c Config) refuse(known map[string]func(string) error) error {
	var faults []error
	if c.Host != "" || c.User != nil {
		hint := ""
		if c.Scheme == schemeJournal {
			hint = "; an absolute directory has three slashes, journal:///…, one below the current none, journal:…"
		}
		faults = append(faults, fmt.Errorf("%w: %s is on no other machine, but the URL names %q%s", ErrConfig, c.Scheme, c.Host, hint))
	}
	names := slices.Sorted(maps.Keys(c.Options))
	for _, name := range names {
		set, ok := known[name]
		if !ok {
			faults = append(faults, fmt.Errorf("%w: %s has no option %q; it has %s", ErrConfig, c.Scheme, name,
				strings.Join(slices.Sorted(maps.Keys(known)), ", ")))
			continue
		}
		if err := set(c.Options[name]); err != nil {
			faults = append(faults, fmt.Errorf("%w: option %s=%s: %w", ErrConfig, name, c.Options[name], err))
		}
	}
	return errors.Join(faults...)
}
