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

	"github.com/holdfast-dev/holdfast/recovery/purge"
)

// progress shows the events of a purge: as lines and a bar on a terminal, as
// JSON lines for programs.
type progress struct {
	out      io.Writer
	terminal bool
	now      func() time.Time

	mu    sync.Mutex
	bar   *progressbar.ProgressBar
	of    string // what the bar is of
	begun time.Time
	last  time.Time
}

func newProgress(out io.Writer, terminal bool) *progress {
	return &progress{out: out, terminal: terminal, now: time.Now}
}

// progressEvery is how often programs are told how far it is.
const progressEvery = time.Second

// progressLine is one JSON line.
type progressLine struct {
	Time    string `json:"time"`
	Phase   string `json:"phase"`
	Level   string `json:"level"`
	Message string `json:"message,omitempty"`
	Table   string `json:"table,omitempty"`
	Sweep   int    `json:"sweep,omitempty"`
	Done    int64  `json:"done,omitempty"`
	Total   int64  `json:"total,omitempty"`
	Found   int64  `json:"found,omitempty"`
	Deleted int64  `json:"deleted,omitempty"`
	ETA     string `json:"eta,omitempty"`
}

func (p *progress) observe(e purge.Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	of := fmt.Sprintf("%s %s %d", e.Phase, e.Table, e.Sweep)
	if e.Message == "" && of != p.of {
		p.clear()
		p.of, p.begun, p.last = of, p.now(), time.Time{}
	}
	if p.terminal {
		p.show(e)
		return
	}
	line := progressLine{
		Time: p.now().UTC().Format(time.RFC3339Nano), Phase: e.Phase, Level: "info", Message: e.Message,
		Table: e.Table, Sweep: e.Sweep, Done: e.Done, Total: e.Total, Found: e.Found, Deleted: e.Deleted,
	}
	if e.Warning {
		line.Level = "warning"
	}
	if e.Message == "" {
		if p.now().Sub(p.last) < progressEvery && e.Done < e.Total {
			return
		}
		p.last = p.now()
		if e.Done > 0 && e.Total > e.Done {
			spent := p.now().Sub(p.begun)
			line.ETA = time.Duration(float64(spent) / float64(e.Done) * float64(e.Total-e.Done)).Round(time.Second).String()
		}
	}
	data, err := json.Marshal(line)
	if err == nil {
		_, _ = p.out.Write(append(data, '\n'))
	}
}

func (p *progress) show(e purge.Event) {
	if e.Message != "" {
		p.clear()
		mark := ""
		if e.Warning {
			mark = "warning: "
		}
		_, _ = fmt.Fprintf(p.out, "%s%s\n", mark, e.Message)
		return
	}
	if p.bar == nil {
		p.bar = progressbar.NewOptions64(e.Total,
			progressbar.OptionSetWriter(p.out), progressbar.OptionSetPredictTime(true), progressbar.OptionShowElapsedTimeOnFinish(),
			progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionClearOnFinish(), progressbar.OptionSetWidth(30),
			progressbar.OptionSetRenderBlankState(true))
	}
	p.bar.Describe(describe(e))
	_ = p.bar.Set64(min(e.Done, e.Total))
}

func describe(e purge.Event) string {
	text := e.Phase
	if e.Table != "" {
		text += " " + e.Table
	}
	if e.Deleted > 0 {
		text += fmt.Sprintf(", %d deleted", e.Deleted)
	} else if e.Found > 0 {
		text += fmt.Sprintf(", %d found", e.Found)
	}
	return text
}

func (p *progress) clear() {
	if p.bar != nil {
		_ = p.bar.Finish()
		_ = p.bar.Clear()
		p.bar = nil
	}
	p.of = ""
}

// end takes the bar away.
func (p *progress) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clear()
}
