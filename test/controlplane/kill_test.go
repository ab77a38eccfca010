// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package controlplane_test

import (
	"bufio"
	"encoding/json"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/holdfast-dev/holdfast/test/controlplane"
)

var _ = Describe("When its parent goes", func() {
	// victim is a process that has started a control plane.
	victim := func(ctx SpecContext) (*exec.Cmd, controlplane.Ready) {
		GinkgoHelper()
		cmd := exec.CommandContext(ctx, os.Args[0])
		cmd.Env = append(os.Environ(), envVictim+"=1")
		cmd.Stderr = GinkgoWriter
		out, err := cmd.StdoutPipe()
		Expect(err).NotTo(HaveOccurred())
		Expect(cmd.Start()).To(Succeed())
		DeferCleanup(func() { _ = cmd.Process.Kill() })
		line, err := bufio.NewReader(out).ReadBytes('\n')
		Expect(err).NotTo(HaveOccurred())
		var ready controlplane.Ready
		Expect(json.Unmarshal(line, &ready)).To(Succeed())
		// etcd, kube-apiserver and kube-controller-manager.
		Expect(processesMentioning(ready.Dir)).To(HaveLen(3))
		return cmd, ready
	}

	for _, signal := range []syscall.Signal{syscall.SIGKILL, syscall.SIGINT} {
		It("leaves no process and no file after "+signal.String(), func(ctx SpecContext) {
			cmd, ready := victim(ctx)
			Expect(cmd.Process.Signal(signal)).To(Succeed())
			Expect(cmd.Wait()).NotTo(Succeed())
			Eventually(processesMentioning).WithArguments(ready.Dir).WithTimeout(10 * time.Second).Should(BeEmpty())
			Eventually(ready.Dir).WithTimeout(10 * time.Second).ShouldNot(BeADirectory())
		})
	}

	It("leaves no process when the supervisor itself is killed", func(ctx SpecContext) {
		_, ready := victim(ctx)
		supervisor := parentOf(ready.Dir)
		Expect(syscall.Kill(supervisor, syscall.SIGKILL)).To(Succeed())
		Eventually(processesMentioning).WithArguments(ready.Dir).WithTimeout(10 * time.Second).Should(BeEmpty())
		Expect(os.RemoveAll(ready.Dir)).To(Succeed())
	})
})

// parentOf is the process that started the first of those that mention the text.
func parentOf(text string) int {
	GinkgoHelper()
	pid, _, _ := strings.Cut(processesMentioning(text)[0], " ")
	status, err := os.ReadFile("/proc/" + pid + "/status")
	Expect(err).NotTo(HaveOccurred())
	for line := range strings.Lines(string(status)) {
		if parent, found := strings.CutPrefix(line, "PPid:"); found {
			n, err := strconv.Atoi(strings.TrimSpace(parent))
			Expect(err).NotTo(HaveOccurred())
			return n
		}
	}
	Fail("no parent of process " + pid)
	return 0
}
