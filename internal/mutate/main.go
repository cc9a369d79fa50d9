package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

func main() {
	run := flag.String("run", "", "regular expression: only the mutations whose names match")
	list := flag.Bool("list", false, "print the mutations and do nothing")
	verbose := flag.Bool("v", false, "print what the tests print")
	limit := flag.Duration("timeout", 2*time.Minute, "the longest that the tests of one mutation may take; a hang is noticed after it")
	flag.Usage = func() {
		fmt.Fprintln(os.Stderr, "usage: go run ./internal/mutate [-run REGEXP] [-list] [-v] [-timeout D] PACKAGE-DIRECTORY...")
		flag.PrintDefaults()
	}
	flag.Parse()
	if flag.NArg() == 0 {
		flag.Usage()
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	ok, err := campaign(ctx, flag.Args(), *run, *list, &tree{verbose: *verbose, limit: *limit})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	if err != nil || !ok {
		stop()
		os.Exit(1)
	}
}

// campaign runs the mutations of the packages in dirs in t, which has no files yet, and tells whether all were caught.
func campaign(ctx context.Context, dirs []string, run string, list bool, t *tree) (bool, error) {
	pattern, err := regexp.Compile(run)
	if err != nil {
		return false, fmt.Errorf("mutate: -run: %w", err)
	}
	var all []mutation
	for _, dir := range dirs {
		name := filepath.Join(dir, "mutations.txt")
		text, err := os.ReadFile(name)
		if err != nil {
			return false, fmt.Errorf("mutate: %w", err)
		}
		ms, err := parse(name, string(text))
		if err != nil {
			return false, err
		}
		for _, m := range ms {
			if pattern.MatchString(m.name) {
				all = append(all, m)
			}
		}
	}
	if list {
		for _, m := range all {
			fmt.Printf("%-32s %s\n", m.name, m.why)
		}
		return true, nil
	}
	if err := t.fill(ctx); err != nil {
		return false, err
	}
	defer t.remove()
	if err := t.sound(ctx, all); err != nil {
		return false, err
	}
	bad := 0
	for _, m := range all {
		start := time.Now()
		verdict, ok := t.try(ctx, m)
		if ctx.Err() != nil {
			return false, ctx.Err()
		}
		if !ok {
			bad++
		}
		fmt.Printf("%-32s %s (%.0f s)\n", m.name, verdict, time.Since(start).Seconds())
	}
	fmt.Printf("%d mutations, %d not as they should be\n", len(all), bad)
	return bad == 0, nil
}

// A tree is a copy of the module.
type tree struct {
	dir     string
	verbose bool
	limit   time.Duration // of one run of the tests
}

// fill copies what git knows, and what it would add, from the working directory.
func (t *tree) fill(ctx context.Context) error {
	files, err := exec.CommandContext(ctx, "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard").Output()
	if err != nil {
		return fmt.Errorf("mutate: git ls-files, at the root of the module: %w", err)
	}
	dir, err := os.MkdirTemp("", "mutate")
	if err != nil {
		return fmt.Errorf("mutate: %w", err)
	}
	t.dir = dir
	for _, name := range strings.Split(strings.TrimRight(string(files), "\x00"), "\x00") {
		data, err := os.ReadFile(name)
		if os.IsNotExist(err) {
			continue // deleted, and git not told yet
		}
		if err == nil {
			err = os.MkdirAll(filepath.Dir(t.path(name)), 0o755)
		}
		if err == nil {
			err = os.WriteFile(t.path(name), data, 0o755)
		}
		if err != nil {
			t.remove()
			return fmt.Errorf("mutate: copy: %w", err)
		}
	}
	return nil
}

func (t *tree) path(name string) string { return filepath.Join(t.dir, name) }

func (t *tree) remove() { _ = os.RemoveAll(t.dir) }

// sound checks that every test passes as long as nothing is broken.
func (t *tree) sound(ctx context.Context, all []mutation) error {
	done := map[string]bool{}
	for _, m := range all {
		for _, args := range m.tests {
			key := strings.Join(append(args, m.env...), " ")
			if done[key] {
				continue
			}
			done[key] = true
			out, err := t.test(ctx, m.env, args)
			if err != nil {
				return fmt.Errorf("mutate: without any mutation: go test %s: %w\n%s", strings.Join(args, " "), err, tail(out, 30))
			}
			if bytes.Contains(out, []byte("no tests to run")) {
				return fmt.Errorf("mutate: %s: go test %s runs nothing", m.name, strings.Join(args, " "))
			}
		}
	}
	return nil
}

func (t *tree) test(ctx context.Context, env, args []string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "go", append([]string{"test", "-count=1", "-vet=off", "-timeout", t.limit.String()}, args...)...)
	cmd.Dir = t.dir
	cmd.Env = append(append(os.Environ(), "PWD="+t.dir), env...)
	cmd.WaitDelay = 10 * time.Second
	out, err := cmd.CombinedOutput()
	if t.verbose {
		fmt.Printf("go test %s\n%s", strings.Join(args, " "), out)
	}
	return out, err
}

// try applies m, runs its tests, and undoes it.
func (t *tree) try(ctx context.Context, m mutation) (verdict string, ok bool) {
	before := map[string][]byte{}
	defer func() {
		for name, data := range before {
			if err := os.WriteFile(t.path(name), data, 0o755); err != nil {
				verdict, ok = "CANNOT BE UNDONE: "+err.Error(), false
			}
		}
	}()
	var shown []string
	if len(m.shows) > 0 {
		shown = append(shown, "before", t.bench(ctx, m))
	}
	for _, c := range m.changes {
		text, err := os.ReadFile(t.path(c.file))
		if err != nil {
			return "DOES NOT APPLY: " + err.Error(), false
		}
		if before[c.file] == nil {
			before[c.file] = text
		}
		changed, err := c.apply(string(text))
		if err != nil {
			return "DOES NOT APPLY: " + err.Error(), false
		}
		if err := os.WriteFile(t.path(c.file), []byte(changed), 0o755); err != nil {
			return "DOES NOT APPLY: " + err.Error(), false
		}
	}
	for _, args := range m.tests {
		out, err := t.test(ctx, m.env, args)
		switch {
		case err == nil:
		case bytes.Contains(out, []byte("[build failed]")) || bytes.Contains(out, []byte("[setup failed]")):
			return "DOES NOT COMPILE:\n" + tail(out, 15), false
		case len(m.shows) > 0:
			return "FAILS A TEST, and should only be slower:\n" + tail(out, 15), false
		case !bytes.Contains(out, []byte(m.says)):
			return fmt.Sprintf("CAUGHT BY %s, which does not say %q:\n%s", failure(out), m.says, tail(out, 25)), false
		case m.says != "":
			return fmt.Sprintf("caught by %s: %s", failure(out), m.says), true
		default:
			return "caught by " + failure(out), true
		}
	}
	if len(m.shows) > 0 {
		shown = append(shown, "after", t.bench(ctx, m))
		return "passes the tests, as it should; its benchmark:\n" + strings.Join(shown, "\n"), true
	}
	return "SURVIVED: " + m.why, false
}

// bench returns the results of a mutation's benchmarks.
func (t *tree) bench(ctx context.Context, m mutation) string {
	var lines []string
	for _, args := range m.shows {
		out, err := t.test(ctx, m.env, append([]string{"-run", "^$"}, args...))
		if err != nil {
			return tail(out, 10)
		}
		for _, line := range strings.Split(string(out), "\n") {
			if strings.HasPrefix(line, "Benchmark") {
				lines = append(lines, "    "+line)
			}
		}
	}
	return strings.Join(lines, "\n")
}

var failed = regexp.MustCompile(`(?m)^\s*--- FAIL: (\S+)`)

// failure names the innermost test that failed, or how else the tests ended.
func failure(out []byte) string {
	if all := failed.FindAllSubmatch(out, -1); len(all) > 0 {
		return string(all[len(all)-1][1])
	}
	switch {
	case bytes.Contains(out, []byte("test timed out")):
		return "a hang"
	case bytes.Contains(out, []byte("panic:")) || bytes.Contains(out, []byte("fatal error:")):
		return "a crash"
	}
	return "an exit code"
}

func tail(out []byte, lines int) string {
	all := strings.Split(strings.TrimRight(string(out), "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
