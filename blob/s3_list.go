package blob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"golang.org/x/sync/errgroup"

	"github.com/voucherd/voucherd/internal/accountname"
)

const (
	// walkAtOnce is how many vouchers of a walk are asked for at the same time.
	walkAtOnce = 32
	// clockGrain is by how much two times of an S3 server may be off: it tells seconds.
	clockGrain = 2 * time.Second
)

// names lists objects by name; without deep, what lies in folders is one name that ends with a
// slash.
func (s *S3) names(ctx context.Context, prefix string, deep bool) iter.Seq2[minio.ObjectInfo, error] {
	return func(yield func(minio.ObjectInfo, error) bool) {
		for o := range s.core.ListObjectsIter(ctx, s.bucket, minio.ListObjectsOptions{Prefix: prefix, Recursive: deep}) {
			if !yield(o, o.Err) || o.Err != nil {
				return
			}
		}
		if err := ctx.Err(); err != nil { // it ends the list without a word
			yield(minio.ObjectInfo{}, err)
		}
	}
}

// Unclaimed implements Store, in the order of keys. It lists only what is unclaimed.
func (s *S3) Unclaimed(ctx context.Context, account string, olderThan time.Duration, limit int) ([]Unclaimed, error) {
	if !accountname.Valid(account) || limit <= 0 {
		return nil, nil
	}
	if err := s.checkMarker(ctx); err != nil {
		return nil, err
	}
	var found []Unclaimed
	for o, err := range s.names(ctx, s.prefix+unclaimedDir(account)+"/", true) {
		var u Unclaimed
		p, keyErr := placeOf(path.Base(o.Key))
		age := max(0, s.now().Sub(o.LastModified))
		if err == nil && keyErr == nil && age >= olderThan {
			u, err = s.look(ctx, p, age)
		}
		if err != nil {
			return nil, s.explain("list unclaimed in the blob store", err)
		}
		if u.Key != "" {
			found = append(found, u)
		}
		if len(found) == limit {
			break
		}
	}
	return found, nil
}

// look gives an unclaimed voucher; nothing for one that has been claimed meanwhile.
func (s *S3) look(ctx context.Context, p place, age time.Duration) (Unclaimed, error) {
	if there, err := s.has(ctx, s.unclaimed(p)); err != nil || !there {
		return Unclaimed{}, err
	}
	r, err := s.readRecord(ctx, p)
	if errors.Is(err, ErrDamaged) || notThere(err) { // its Put was cut off
		r, err = record{Stored: Stored{Entry: Entry{Key: p.key}}}, nil
	}
	return Unclaimed{Entry: r.Entry, Meta: r.Meta, Age: age}, err
}

// readRecord reads the metadata of a voucher. It may say notThere.
func (s *S3) readRecord(ctx context.Context, p place) (record, error) {
	text, at, err := s.readMetadata(ctx, p)
	if err != nil {
		return record{}, err
	}
	r, err := parseRecord(text)
	if err == nil && (r.Key != p.key || r.Size != at) {
		err = fmt.Errorf("%w: %s holds the metadata of something else", ErrDamaged, p.key)
	}
	return r, err
}

// readMetadata reads what follows a voucher's bytes, and where that begins.
func (s *S3) readMetadata(ctx context.Context, p place) (text []byte, at int64, err error) {
	var o minio.GetObjectOptions
	if err = o.SetRange(0, -tailBytes); err != nil {
		return nil, 0, err
	}
	body, _, header, err := s.core.GetObject(ctx, s.bucket, s.voucher(p), o)
	if err != nil {
		return nil, 0, err
	}
	defer func() { _ = body.Close() }()
	tail, err := io.ReadAll(io.LimitReader(body, tailBytes))
	if err != nil {
		return nil, 0, err
	}
	whole := int64(len(tail))
	if _, total, ok := strings.Cut(header.Get("Content-Range"), "/"); ok {
		if whole, err = strconv.ParseInt(total, 10, 64); err != nil {
			return nil, 0, fmt.Errorf("read the voucher's metadata: the server does not say how long it is: %w", err)
		}
	}
	at, ok := lastMark(tail)
	from := whole - int64(len(tail))
	if !ok || at < from || at > whole {
		return nil, 0, fmt.Errorf("%w: it has no metadata", ErrDamaged)
	}
	return tail[at-from:], at, nil
}

// All implements Store.
func (s *S3) All(ctx context.Context) iter.Seq2[Stored, error] {
	return func(yield func(Stored, error) bool) {
		err := s.checkMarker(ctx)
		if err != nil {
			yield(Stored{}, err)
			return
		}
		for o, err := range s.names(ctx, s.prefix, false) {
			account, folder := strings.CutSuffix(strings.TrimPrefix(o.Key, s.prefix), "/")
			more := true
			if err == nil && folder && accountname.Valid(account) {
				more, err = s.walk(ctx, account, yield)
			}
			if err != nil {
				yield(Stored{}, s.explain("list the blob store", err))
				return
			}
			if !more {
				return
			}
		}
	}
}

// walk gives what was delivered of an account, and then what is claimed. More is false when the
// caller wants no more.
func (s *S3) walk(ctx context.Context, account string, yield func(Stored, error) bool) (more bool, err error) {
	more = true
	w := s3Walk{s: s, began: s.now().Add(-clockGrain), retired: map[string]bool{}, unclaimed: map[string]bool{}}
	err = s.eachRetired(ctx, account, "", func(r record) bool {
		if !w.retired[r.Key] && r.Account == account { // else its metadata was damaged
			more = yield(r.Stored, nil)
		}
		w.retired[r.Key] = true
		return more
	})
	if err != nil || !more {
		return more, err
	}
	for o, err := range s.names(ctx, s.prefix+unclaimedDir(account)+"/", true) {
		if err != nil {
			return false, err
		}
		w.unclaimed[path.Base(o.Key)] = true
	}
	var batch []walked
	for o, err := range s.names(ctx, s.vouchers(account), true) {
		if err != nil {
			return false, err
		}
		key, note := strings.CutSuffix(path.Base(o.Key), noteSuffix)
		p, err := placeOf(key)
		if err != nil {
			continue // An object of somebody else's.
		}
		if last := len(batch) - 1; note && last >= 0 && batch[last].place == p {
			batch[last].noted = true
			continue
		}
		if len(batch) == walkAtOnce {
			if more, err = w.give(ctx, batch, yield); err != nil || !more {
				return more, err
			}
			batch = batch[:0]
		}
		batch = append(batch, walked{place: p, noted: note, alone: note, fresh: !o.LastModified.Before(w.began)})
	}
	return w.give(ctx, batch, yield)
}

// s3Walk is a walk through an account's vouchers.
type s3Walk struct {
	s                  *S3
	began              time.Time // by the server's clock, or a little before
	retired, unclaimed map[string]bool
}

// walked is one voucher of a walk.
type walked struct {
	place
	noted, alone bool // it has a note; it has nothing else
	fresh        bool // it came during the walk, or just before

	stored Stored
	about  error
	skip   bool
}

// give looks at some vouchers at once, and gives them in turn.
func (w *s3Walk) give(ctx context.Context, batch []walked, yield func(Stored, error) bool) (more bool, err error) {
	var looks errgroup.Group
	for i := range batch {
		looks.Go(func() error { return w.look(ctx, &batch[i]) })
	}
	if err = looks.Wait(); err != nil {
		return false, err
	}
	for _, v := range batch {
		if !v.skip && !yield(v.stored, v.about) {
			return false, nil
		}
	}
	return true, nil
}

// look reads what there is of one voucher. The error is the store's.
func (w *s3Walk) look(ctx context.Context, v *walked) (err error) {
	if !v.alone && (v.fresh || w.unclaimed[v.key]) { // the list may be older than the claim
		if v.skip, err = w.s.has(ctx, w.s.unclaimed(v.place)); err != nil || v.skip {
			return err
		}
	}
	var r record
	switch {
	case v.alone:
		v.about = fmt.Errorf("%w: %s was being deleted", ErrMissing, v.key)
	case w.retired[v.key]:
		v.about = fmt.Errorf("%w: %s was being retired", ErrMissing, v.key)
	default:
		r, err = w.s.readRecord(ctx, v.place)
		if v.skip = notThere(err); v.skip { // Deleted during the walk.
			return nil
		}
		if errors.Is(err, ErrDamaged) {
			v.about, err = err, nil
		}
		if err == nil && v.noted {
			r.Note, err = w.s.readNote(ctx, v.place)
		}
	}
	v.stored = r.Stored
	v.stored.Key = v.key
	return err
}
