// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

// Package usage answers who refers to a guarded object: Live by listing the
// referring kinds each time, Index from what it keeps of them. Both read the
// same of an object and answer by the same code.
//
// # The guarantee
//
// If Index.Of answers that nobody refers to a target, then no object that was
// committed before the call began, and is still there, refers to it: neither by
// its current spec nor by an older one that something pins. Whatever keeps the
// index from knowing that is an error. The other way round nothing is
// guaranteed: the index alone may answer that a target is in use, by what was
// true a moment ago, for a refusal can be repeated.
//
// # The proof
//
// Each kind that matters to the target is shown to be known by itself; all were
// current at some moment after the call began, so what was committed before is
// in each of them.
//
// A table holds what the objects of one kind refer to. Beside it stands a
// version, applied, with this invariant: every change of the kind up to applied
// is in the table. A list of all objects at version L sets both, unless applied
// is L or more already. A stream of events that began at or below applied gives
// every change after its beginning, in the order of versions; an event up to
// applied changes nothing, and one above it is applied and moves applied, for
// between the last event of its stream, which was applied or skipped, and this
// one the kind has not changed. A bookmark says the same of an empty stretch. So
// any number of streams may feed a table, each as late as it likes, and none can
// undo what another has brought. This needs versions that rise with every change
// of a resource, as those of etcd do; versions that are no numbers are an error,
// and a server whose version falls (a restored backup) makes the kind be read
// anew.
//
// What is known of a kind is thrown away when the kind goes or is to be read in
// another version. That begins a new epoch. Proofs, lists and streams carry the
// epoch that they began in and count in no other; the answer is read under the
// locks of all tables, after a look at their epochs.
//
// A kind is shown to be known in one of these ways, each begun after the call:
//
//   - definition: the metadata of its CustomResourceDefinition is read and is
//     not found, and discovery knows no such resource either. Then it has no
//     objects. (Objects that a definition leaves behind in etcd cannot be read by
//     anybody; when it comes back they are as new ones.) A list that finds no
//     such kind proves nothing by itself: it may be another version that is
//     served now, so the definition is looked at again.
//   - list: for up to 500 objects, a consistent list of one page, if it is
//     complete. At first it is of their versions only, which takes a fifth of the
//     time: where the table was filled from each object in the version that it
//     has now, and from no other, it is that of the list, for a version stands for
//     one content. Otherwise the objects are listed, not older than that. This is
//     the first sync, too, if that has not happened yet. The API
//     server answers it from its watch cache as soon as that has caught up with
//     etcd: within a few ms, but a list that follows right after another one, while
//     only other kinds were written, within 100 (progressRequestPeriod in
//     k8s.io/apiserver/pkg/storage/cacher/progress). Nothing goes past that: since
//     Kubernetes 1.34, a list at an exact version and the next page of one wait for
//     the cache in the same way, and only a single object, by name, is read from
//     etcd. Servers before 1.31 read every list from etcd, which proves the same.
//   - barrier: a consistent list that finds nothing or one object gives a
//     version, now, which is that of everything committed before. When applied
//     has reached now, the invariant says the rest. The reflector's stream may
//     bring it there; if it does not, because nothing changes or because its
//     connection hangs, a watch from applied does, on another connection: it
//     gives what is missing, or a bookmark some 1 to 2 s later. The list is what
//     makes the API server learn how far etcd is, without which that bookmark
//     could be older than now. If the server has forgotten the changes since
//     applied (410 Gone), the reflector lists again and the barrier waits for it
//     as long as there is time.
//   - selector: where the definition lets lists select by the reference, a list
//     of one page of what names the target. It is complete by itself and is not
//     put into the table. It is not used where older revisions play a part,
//     since pins are found by other targets.
//
// Barriers and lists are shared. A request takes part only in one that has not
// begun: the now of one that has may be older than the request.
package usage
