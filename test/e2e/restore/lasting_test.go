// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package restore

import (
	"context"
	"fmt"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/types"

	"github.com/holdfast-dev/holdfast/test/e2e/must"
)

// lasting is what the suite brings back at its beginning and looks at again at
// its end, two minutes later at least: an object whose owner's kind comes back
// is collected only a minute after that.
type lasting struct {
	*shelf
	restored time.Time
	uids     map[string]types.UID
}

const lastingTime = 2 * time.Minute

// begin brings keys back while the kind of their owner is not known, and lets
// that come, go and come again.
func begin(ctx context.Context) *lasting {
	GinkgoHelper()
	l := &lasting{shelf: fill(ctx)}
	l.burn(ctx)
	must.Succeed(l.restore(ctx, "--only", "secrets", "--only", "configmaps/settings"))
	l.restored = time.Now()
	// What restores by hand leave behind, with the owner that there was.
	must.Apply(ctx, admin, fmt.Sprintf("{apiVersion: v1, kind: Secret, metadata: {name: by-hand, namespace: %s, ownerReferences: [{apiVersion: %s/v1, kind: Shelf, name: one, uid: %s}]}}", l.namespace, l.group, l.uid))
	must.Succeed(l.restore(ctx))
	l.undefine(ctx)
	l.define(ctx)
	// What went with the kind may be collected at any moment, even during the restore.
	Eventually(func() int { return l.restore(ctx).Code }).Should(BeZero())
	l.uids = l.shelf.uids(ctx, l.namespace)
	Expect(l.uids).To(HaveLen(5))
	return l
}

// end makes sure that what was brought back is there, and that the garbage
// collector has looked.
func (l *lasting) end(ctx context.Context) {
	GinkgoHelper()
	Eventually(must.Object).WithArguments(ctx, client, core("secrets"), l.namespace, "by-hand").WithTimeout(5*time.Minute).Should(BeNil(), "the garbage collector has not looked")
	check := func(g Gomega) { g.Expect(l.shelf.uids(ctx, l.namespace)).To(Equal(l.uids)) }
	if left := lastingTime - time.Since(l.restored); left > 0 {
		Consistently(check, left, 2*time.Second).Should(Succeed())
	}
	check(NewGomega(Fail))
}
