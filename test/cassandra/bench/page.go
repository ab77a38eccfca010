// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"
)

type comparison struct {
	size   int
	manual manualRun
	ours   purgeRun
	alone  time.Duration // the deletes of holdfast without finding them
}

type results struct {
	load     string // of the machine, before
	compared []comparison
	tenfold  purgeRun
}

const intro = `<!-- Written by make bench-purge; do not edit. -->
# Benchmark: purging an interface

` + "`make bench-purge`" + ` fills two realms of one real Apache Cassandra 5.0 (one node on loopback, 2 GiB of heap) with the same data
and purges an individual datastream interface from each: from one by Astarte's manual procedure, scripted with cqlsh as a
careful person would ([manual.sh](../test/cassandra/bench/manual.sh)), from the other with ` + "`holdfast recovery purge-interface`" + `.
Both are timed with everything that they need: the manual with the start of cqlsh, the query for the keys, one file of DELETE
statements and the query once more at the end; Holdfast with the dry-run that gives the digest, the plan again, the journal,
at least two sweeps, and the verification. Nobody writes meanwhile, so Holdfast does not wait (` + "`--writers-stopped`" + `).

Client and server share the machine's cores, so the ratios say more than the seconds, and only those of a machine that does
nothing else say much: the manual waits for one answer after the other, Holdfast uses what the machine has. The manual leaves the endpoints and
all path rows behind ([runbook](runbooks/purge-interface.md)); Holdfast removes them within its time.
`

func (r results) page() string {
	var b strings.Builder
	b.WriteString(intro)
	fmt.Fprintf(&b, "\nLast run: %s, %d cores; load average (1, 5, 15 minutes) before it %s, at its end %s.\n", time.Now().UTC().Format("2006-01-02"), runtime.NumCPU(), r.load, load())
	b.WriteString("\n## The whole purge\n\n| partitions to purge | among others | manual (cqlsh) | of that DELETEs | Holdfast | of that the plan | times as fast |\n| ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n")
	for _, c := range r.compared {
		fmt.Fprintf(&b, "| %d | %d | %s | %s | %s | %s | **%.1f** |\n", c.size, 4*c.size, seconds(c.manual.total), seconds(c.manual.steps["deletes"]),
			seconds(c.ours.total()), seconds(c.ours.plan), ratio(c.manual.total, c.ours.total()))
	}
	b.WriteString("\n## Deletes\n\nThe manual's file of DELETEs; the same keys deleted by Holdfast's session, statement and number of requests in flight, with\nnothing else; and the first sweep of a whole purge, in which reads find the partitions, and the path rows go as well.\n\n| partitions | manual, a second | Holdfast, a second | times as fast | Holdfast's first sweep, a second | times as fast |\n| ---: | ---: | ---: | ---: | ---: | ---: |\n")
	for _, c := range r.compared {
		deletes := c.manual.steps["deletes"]
		fmt.Fprintf(&b, "| %d | %.0f | %.0f | **%.1f** | %.0f | %.1f |\n", c.size, rate(c.size, deletes), rate(c.size, c.alone), ratio(deletes, c.alone),
			rate(c.size, c.ours.deletes), ratio(deletes, c.ours.deletes))
	}
	first := r.compared[0]
	b.WriteString("\n## Ten times more data in the realm\n\n| partitions to purge | in the realm | Holdfast | a partition in the realm | peak memory |\n| ---: | ---: | ---: | ---: | ---: |\n")
	for _, row := range []struct {
		size int
		run  purgeRun
	}{{first.size, first.ours}, {tenfold, r.tenfold}} {
		fmt.Fprintf(&b, "| %d | %d | %s | %.0f µs | %d MiB |\n", row.size, 5*row.size, seconds(row.run.total()),
			float64(row.run.total().Microseconds())/float64(5*row.size), row.run.rss>>20)
	}
	fmt.Fprintf(&b, "\nTen times the data took %.1f times as long and %.2f times the memory.", ratio(r.tenfold.total(), first.ours.total()), float64(r.tenfold.rss)/float64(first.ours.rss))
	last := r.compared[len(r.compared)-1]
	fmt.Fprintf(&b, " At %d partitions cqlsh used %d MiB at its peak, Holdfast %d MiB.\n", last.size, last.manual.rss>>20, last.ours.rss>>20)
	return b.String()
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }

func ratio(slow, fast time.Duration) float64 { return slow.Seconds() / fast.Seconds() }

func rate(count int, d time.Duration) float64 { return float64(count) / d.Seconds() }

// load is the machine's load average: figures of a busy machine are no figures.
func load() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	return strings.Join(strings.Fields(string(text))[:3], " ")
}
