package blob

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"golang.org/x/sync/errgroup"

	"github.com/voucherd/voucherd/internal/accountname"
)

// Note implements Store.
func (s *S3) Note(ctx context.Context, key string, n Note) error {
	p, err := placeOf(key)
	if err != nil {
		return err
	}
	if _, err = s.core.StatObject(ctx, s.bucket, s.voucher(p), minio.StatObjectOptions{}); err == nil {
		err = s.note(ctx, s.voucher(p)+noteSuffix, n)
	}
	if err != nil {
		return s.about(ctx, p, "note in the blob store", err)
	}
	return nil
}

func (s *S3) note(ctx context.Context, name string, n Note) error {
	if n.State == "" {
		return s.remove(ctx, []string{name})
	}
	text, err := json.Marshal(n)
	if err != nil {
		return err
	}
	return s.put(ctx, name, text, minio.PutObjectOptions{})
}

// readNote reads the note of a voucher; one that is not there is empty.
func (s *S3) readNote(ctx context.Context, p place) (n Note, err error) {
	text, err := s.get(ctx, s.voucher(p)+noteSuffix)
	if notThere(err) {
		return Note{}, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &n)
	}
	return n, err
}

// Noted implements Store. Of a voucher whose bytes are gone it looks through the notes, the newest
// first.
func (s *S3) Noted(ctx context.Context, key string) (Stored, error) {
	p, err := placeOf(key)
	if err != nil {
		return Stored{}, err
	}
	const what = "read a note of the blob store"
	r, err := s.readRecord(ctx, p)
	if err == nil || errors.Is(err, ErrDamaged) {
		n, noteErr := s.readNote(ctx, p)
		if err = cmp.Or(noteErr, err); err != nil {
			err = s.explain(what, err)
		}
		r.Note = n
		return r.Stored, err
	}
	if err = s.about(ctx, p, what, err); !errors.Is(err, ErrMissing) {
		return Stored{}, err
	}
	var v Stored
	readErr := s.eachRetired(ctx, p.account, p.key, func(r record) bool {
		if r.Key == p.key {
			v, err = r.Stored, nil
		}
		return err != nil
	})
	if readErr != nil {
		readErr = s.explain(what, readErr)
	}
	return v, cmp.Or(readErr, err)
}

// Retire implements Store. It writes what came of an account's vouchers as one object, and then
// removes them.
func (s *S3) Retire(ctx context.Context, vouchers ...Retired) error {
	byAccount := map[string][]retiring{}
	for _, v := range vouchers {
		p, err := placeOf(v.Key)
		if err != nil {
			return err
		}
		byAccount[p.account] = append(byAccount[p.account], retiring{place: p, result: v.Result})
	}
	for account, vouchers := range byAccount {
		if err := s.retire(ctx, account, vouchers); err != nil {
			return s.explain("retire in the blob store", err)
		}
	}
	return nil
}

// retiring is a voucher on its way out.
type retiring struct {
	place

	result json.RawMessage
	line   []byte // what stays of it; nil: it is gone already
}

func (s *S3) retire(ctx context.Context, account string, vouchers []retiring) error {
	var reads errgroup.Group
	reads.SetLimit(walkAtOnce)
	for i := range vouchers {
		reads.Go(func() error { return s.retiredLine(ctx, &vouchers[i]) })
	}
	if err := reads.Wait(); err != nil {
		return err
	}
	var lines []byte
	var gone []place
	for _, v := range vouchers {
		if v.line != nil {
			lines, gone = append(lines, v.line...), append(gone, v.place)
		}
	}
	if len(gone) == 0 {
		return nil
	}
	now := s.now().UTC()
	name := fmt.Sprintf("%s%s/%016x-%s", s.delivered(account), now.Format(hourFormat), now.UnixNano(), randomName())
	if err := s.put(ctx, name, lines, minio.PutObjectOptions{}); err != nil {
		return err
	}
	return s.remove(ctx, s.whole(gone))
}

func (s *S3) retiredLine(ctx context.Context, v *retiring) error {
	text, _, err := s.readMetadata(ctx, v.place)
	if notThere(err) {
		return nil
	}
	if err != nil && !errors.Is(err, ErrDamaged) {
		return err
	}
	v.line, err = noteLine(text, Retired{Key: v.key, Result: v.result})
	return err
}

// eachRetired calls do with what is noted of an account's retired vouchers, the newest first, until
// it says no more. Only lines that contain text are looked at.
func (s *S3) eachRetired(ctx context.Context, account, text string, do func(record) (more bool)) error {
	var names []string
	for o, err := range s.names(ctx, s.delivered(account), true) {
		if err != nil {
			return err
		}
		names = append(names, o.Key)
	}
	slices.Reverse(names)
	for batch := range slices.Chunk(names, walkAtOnce) {
		texts := make([][]byte, len(batch))
		var reads errgroup.Group
		for i, name := range batch {
			reads.Go(func() (err error) {
				if texts[i], err = s.get(ctx, name); notThere(err) { // forgotten meanwhile
					err = nil
				}
				return err
			})
		}
		if err := reads.Wait(); err != nil {
			return err
		}
		for _, lines := range texts {
			if more, err := retiredLines(lines, text, do); err != nil || !more {
				return err
			}
		}
	}
	return nil
}

func retiredLines(lines []byte, text string, do func(record) (more bool)) (more bool, err error) {
	for line := range bytes.Lines(lines) {
		if !bytes.Contains(line, []byte(text)) {
			continue
		}
		r, err := parseRecord(line)
		if errors.Is(err, ErrDamaged) {
			continue
		}
		if err != nil || !do(r) {
			return false, err
		}
	}
	return true, nil
}

// ForgetRetired implements Store.
func (s *S3) ForgetRetired(ctx context.Context, account string, olderThan time.Duration) error {
	if !accountname.Valid(account) {
		return nil
	}
	for hour, err := range s.names(ctx, s.delivered(account), false) {
		if err == nil {
			from, parseErr := time.Parse(hourFormat, path.Base(strings.TrimSuffix(hour.Key, "/")))
			if parseErr == nil && s.now().Sub(from.Add(time.Hour)) >= olderThan {
				err = s.forget(ctx, hour.Key)
			}
		}
		if err != nil {
			return s.explain("forget what was delivered from the blob store", err)
		}
	}
	return nil
}

// forget removes what lies in a folder.
func (s *S3) forget(ctx context.Context, folder string) error {
	var names []string
	for o, err := range s.names(ctx, folder, true) {
		if err != nil {
			return err
		}
		names = append(names, o.Key)
	}
	return s.remove(ctx, names)
}
