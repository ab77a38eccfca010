// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/term"
)

// widest is the width that text is broken at; a narrower terminal counts.
const widest = 110

// screen is where the story is told.
type screen struct {
	file   *os.File
	colour bool
	width  int
}

func newScreen(file *os.File) *screen {
	s := &screen{file: file, width: widest}
	if width, _, err := term.GetSize(int(file.Fd())); err == nil {
		s.colour = os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
		s.width = max(40, min(widest, width))
	}
	return s
}

// line prints one line as it is.
func (s *screen) line(format string, args ...any) {
	// There is nobody to tell when the terminal is gone.
	_, _ = fmt.Fprintf(s.file, format+"\n", args...)
}

func (s *screen) paint(code, text string) string {
	if !s.colour {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

func (s *screen) dim(text string) string { return s.paint("2", text) }

func (s *screen) title(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	s.line("")
	s.line("%s", s.paint("1", text))
	s.line("%s", s.paint("1", strings.Repeat("=", len(text))))
	s.line("")
}

func (s *screen) heading(text string) {
	s.line("")
	s.line("%s", s.paint("1", text))
	s.line("%s", s.paint("1", strings.Repeat("-", len(text))))
}

// say prints a paragraph.
func (s *screen) say(text string) {
	for _, line := range broken(text, s.width) {
		s.line("%s", line)
	}
}

func (s *screen) command(text string) {
	s.line("")
	s.line("%s", s.paint("36", "$ "+text))
}

// output prints what a command printed. Only lines too long for the screen are
// broken, at spaces, and go on further to the right. A warning that comes again
// and again is printed once.
func (s *screen) output(text string) {
	for _, line := range once(text) {
		for i, part := range broken(line, s.width-6) {
			indent := "  "
			if i > 0 {
				indent = "      "
			}
			s.line("%s%s", indent, part)
		}
	}
}

// once are the lines of text, of repeated warnings the first with their number.
func once(text string) []string {
	var lines []string
	first, times := map[string]int{}, map[string]int{}
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		// What comes before it is the time.
		if _, warning, ok := strings.Cut(line, "\"Warning: "); ok {
			if times[warning]++; times[warning] > 1 {
				continue
			}
			first[warning] = len(lines)
		}
		lines = append(lines, line)
	}
	for warning, i := range first {
		if times[warning] > 1 {
			lines[i] += fmt.Sprintf(" (%d times)", times[warning])
		}
	}
	return lines
}

func (s *screen) done(format string, args ...any) {
	s.line("%s %s", s.paint("32", "ok"), fmt.Sprintf(format, args...))
}

func (s *screen) failure(err error) {
	s.line("")
	s.line("%s %s", s.paint("31", "FAILED"), err)
}

// broken is text in lines of at most width, where single spaces allow it: a
// table, whose columns are two or more spaces apart, stays in one piece there.
func broken(text string, width int) []string {
	var lines []string
	start, last := 0, -1 // of the line, and its last space to break at
	for i := range len(text) {
		if text[i] == ' ' && i > 0 && i+1 < len(text) && text[i-1] != ' ' && text[i+1] != ' ' {
			last = i
		}
		if i-start >= width && last > start {
			lines = append(lines, text[start:last])
			start = last + 1
		}
	}
	return append(lines, text[start:])
}
