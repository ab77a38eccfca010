// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"encoding/json"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"

	"github.com/holdfast-dev/holdfast/recovery/rescue"
)

// waiting shows the events of a rescue: as lines, and a spinner with what is
// waited for, on a terminal; as JSON lines for programs.
type waiting struct {
	out      io.Writer
	terminal bool
	now      func() time.Time

	mu      sync.Mutex
	spinner *progressbar.ProgressBar
}

func newWaiting(out io.Writer, terminal bool) *waiting {
	return &waiting{out: out, terminal: terminal, now: time.Now}
}

// waitingLine is one JSON line.
type waitingLine struct {
	Time    string `json:"time"`
	Step    string `json:"step,omitempty"`
	Level   string `json:"level"`
	Message string `json:"message"`
	Waited  string `json:"waited,omitempty"`
}

func (w *waiting) tell(e rescue.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	text := printable(e.Text)
	if !w.terminal {
		line := waitingLine{Time: w.now().UTC().Format(time.RFC3339Nano), Step: e.Step, Level: "info", Message: text}
		if e.Warning {
			line.Level = "warning"
		}
		if e.Waited > 0 {
			line.Message, line.Waited = "waiting for "+text, e.Waited.Round(time.Second).String()
		}
		if data, err := json.Marshal(line); err == nil {
			_, _ = w.out.Write(append(data, '\n'))
		}
		return
	}
	switch {
	case e.Waited > 0:
		if w.spinner == nil {
			w.spinner = progressbar.NewOptions(-1, progressbar.OptionSetWriter(w.out), progressbar.OptionSpinnerType(14),
				progressbar.OptionClearOnFinish(), progressbar.OptionSetElapsedTime(false))
		}
		w.spinner.Describe(fmt.Sprintf("waiting %s for %s", e.Waited.Round(time.Second), text))
		_ = w.spinner.Add(1)
	case e.Warning:
		w.clear()
		_, _ = fmt.Fprintf(w.out, "warning: %s\n", text)
	default:
		w.clear()
		_, _ = fmt.Fprintf(w.out, "%s\n", text)
	}
}

func (w *waiting) clear() {
	if w.spinner != nil {
		_ = w.spinner.Finish()
		w.spinner = nil
	}
}

// end takes the spinner away.
func (w *waiting) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.clear()
}
