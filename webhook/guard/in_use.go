// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package guard

import (
	"context"
	"fmt"
	"strings"

	"github.com/holdfast-dev/holdfast/config/api/v1alpha1"
	"github.com/holdfast-dev/holdfast/config/profile"
)

const (
	// shown is how many referrers a message names; more would hide what to do next.
	shown = 3
	// maxChain bounds how far a message follows users of users.
	maxChain = 3
)

// InUse refuses the deletion of an object that other objects refer to.
type InUse struct {
	Usage    Usage
	Profiles *profile.Set
}

// Check implements Rule.
func (c InUse) Check(ctx context.Context, r Request) (Verdict, error) {
	if len(r.Guarded.ReferencedBy) == 0 {
		return Verdict{}, nil
	}
	target := r.Target()
	use, err := c.Usage.Of(ctx, target, shown)
	if err != nil {
		return Verdict{}, fmt.Errorf("look up who uses %s: %w", target, err)
	}
	if use.Total == 0 {
		return Verdict{}, nil
	}
	v := Verdict{Denied: true, Rule: "in-use", Message: c.message(ctx, target, use)}
	for _, referrer := range use.First {
		v.Causes = append(v.Causes, Cause{Object: referrer.String(), Field: referrer.Path})
	}
	return v, nil
}

func (c InUse) message(ctx context.Context, target Target, use Use) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s is in use by %s: ", target, count(use.Total, "object"))
	for i, referrer := range use.First {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(referrer.String())
		b.WriteString(c.chain(ctx, referrer, maxChain))
	}
	if more := use.Total - len(use.First); more > 0 {
		fmt.Fprintf(&b, " and %d more", more)
	}
	b.WriteString(". It was not deleted. ")
	them := "them"
	if use.Total == 1 {
		them = "it"
	}
	if use.Terminating == use.Total {
		fmt.Fprintf(&b, "Deletion of %s is under way: wait until that is done, then delete again. ", them)
	} else {
		fmt.Fprintf(&b, "First point %s to another %s, or delete %s, then delete again (a moment later, if you just did). ", them, strings.ToLower(target.Kind), them)
	}
	b.WriteString(closing(target, v1alpha1.OperationDelete))
	return b.String()
}

// chain says who uses a referrer that is itself guarded, and so on. It only
// explains: what it cannot find out it leaves away.
func (c InUse) chain(ctx context.Context, referrer Referrer, depth int) string {
	if referrer.Terminating {
		return referrer.held() + " (being deleted)"
	}
	if referrer.Stored != "" {
		return referrer.held() // who pins it is what matters then
	}
	if g, ok := c.Profiles.Guarded(referrer.Resource); !ok || len(g.ReferencedBy) == 0 || depth == 0 {
		return ""
	}
	use := c.recall(ctx, referrer.target())
	if use.Total == 0 {
		return ""
	}
	var users []string
	for _, user := range use.First {
		users = append(users, user.String()+c.chain(ctx, user, depth-1))
	}
	text := " (in use by " + strings.Join(users, ", ")
	if more := use.Total - len(use.First); more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text + ")"
}

// recall asks for what explains only. A proof that nobody uses it would take
// time, and would not be told.
func (c InUse) recall(ctx context.Context, target Target) Use {
	if r, ok := c.Usage.(Recaller); ok {
		return r.Recall(target, shown)
	}
	use, err := c.Usage.Of(ctx, target, shown)
	if err != nil {
		return Use{}
	}
	return use
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
