package blob

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/minio/minio-go/v7"
)

// S3 is a blob store in a bucket of AWS S3 or of a server that speaks its protocol. Below its
// prefix:
//
//	STORE                                       the marker, which names the blob store
//	<account>/vouchers/<key>                    a voucher: its bytes, and its metadata behind them (see record)
//	<account>/vouchers/<key>.note               what came of its upload, where that ended without delivery
//	<account>/unclaimed/<key>                   empty; there before the voucher is, until it is claimed
//	<account>/delivered/<hour>/<time>-<random>  what came of vouchers whose bytes are gone, a line each
//
// What a crash can leave, and who sees to it:
//
//   - in Put: an unclaimed key, with its voucher or without. Unclaimed lists it. Parts of a large one
//     that were not put together are the bucket's lifecycle rules' to remove.
//   - in Delete: a note, or an unclaimed key, without its voucher. All and Unclaimed list them.
//   - in Retire: what came of a voucher, and the voucher. All reports it as ErrMissing.
//
// A call has arrived when it returns. A list of names that lags behind costs no voucher: what All
// has missed it gives the next time, and Unclaimed looks at each key by itself.
type S3 struct {
	core           *minio.Core
	http           *http.Transport
	bucket, prefix string // the prefix is empty or ends with a slash
	id             string
	ahead          atomic.Int64 // nanoseconds that the server's clock is ahead of ours
}

func (s *S3) voucher(p place) string    { return s.vouchers(p.account) + p.key }
func (s *S3) unclaimed(p place) string  { return s.prefix + unclaimedDir(p.account) + "/" + p.key }
func (s *S3) vouchers(a string) string  { return s.prefix + a + "/vouchers/" }
func (s *S3) delivered(a string) string { return s.prefix + deliveredDir(a) + "/" }

const noteSuffix = ".note"

// put makes an object, whole or not at all. The server compares its bytes with their sum.
func (s *S3) put(ctx context.Context, name string, b []byte, o minio.PutObjectOptions) error {
	_, err := s.core.PutObject(ctx, s.bucket, name, bytes.NewReader(b), int64(len(b)), "", sumOf(b), o)
	return err
}

func sumOf(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// get reads a small object.
func (s *S3) get(ctx context.Context, name string) ([]byte, error) {
	body, _, _, err := s.core.GetObject(ctx, s.bucket, name, minio.GetObjectOptions{})
	if err != nil {
		return nil, err
	}
	defer func() { _ = body.Close() }()
	return io.ReadAll(io.LimitReader(body, mostMetadata))
}

// has says whether an object is there.
func (s *S3) has(ctx context.Context, name string) (bool, error) {
	_, err := s.core.StatObject(ctx, s.bucket, name, minio.StatObjectOptions{})
	if notThere(err) {
		return false, nil
	}
	return err == nil, err
}

// about says what an error of one voucher's object means: that it is not there means that the
// voucher is missing only in what is certainly the store.
func (s *S3) about(ctx context.Context, p place, what string, err error) error {
	if !notThere(err) {
		return s.explain(what, err)
	}
	if err := s.checkMarker(ctx); err != nil {
		return err
	}
	return fmt.Errorf("%w: %s", ErrMissing, p.key)
}

// Claim implements Store.
func (s *S3) Claim(ctx context.Context, key string) error {
	p, err := placeOf(key)
	if err != nil {
		return err
	}
	if _, err = s.core.StatObject(ctx, s.bucket, s.voucher(p), minio.StatObjectOptions{}); err != nil {
		return s.about(ctx, p, "claim in the blob store", err)
	}
	err = s.core.RemoveObject(ctx, s.bucket, s.unclaimed(p), minio.RemoveObjectOptions{})
	if err != nil && !notThere(err) { // not there: somebody else has just claimed it
		return s.explain("claim in the blob store", err)
	}
	return nil
}

// Open implements Store. It holds no bytes itself.
func (s *S3) Open(ctx context.Context, e Entry) (io.ReadCloser, error) {
	p, err := placeOf(e.Key)
	if err != nil {
		return nil, err
	}
	var o minio.GetObjectOptions
	if e.Size > 0 {
		if err = o.SetRange(0, e.Size-1); err != nil { // not the metadata, so that the connection can be used again
			return nil, fmt.Errorf("open in the blob store: %w", err)
		}
	}
	body, _, _, err := s.core.GetObject(ctx, s.bucket, s.voucher(p), o)
	if err != nil {
		return nil, s.about(ctx, p, "open in the blob store", err)
	}
	return newVerified(onDisk{io.LimitReader(body, e.Size), body}, e), nil
}

// Delete implements Store. The keys go last: they know what is left, if anything is.
func (s *S3) Delete(ctx context.Context, keys ...string) error {
	places, err := placesOf(keys)
	if err != nil {
		return err
	}
	var unclaimed []string
	for _, p := range places {
		unclaimed = append(unclaimed, s.unclaimed(p))
	}
	if err = s.remove(ctx, s.whole(places)); err == nil {
		err = s.remove(ctx, unclaimed)
	}
	if err != nil {
		return s.explain("delete from the blob store", err)
	}
	return nil
}

// whole names all objects of claimed vouchers.
func (s *S3) whole(places []place) []string {
	var names []string
	for _, p := range places {
		names = append(names, s.voucher(p), s.voucher(p)+noteSuffix)
	}
	return names
}

// remove deletes objects, a thousand a request. One that is gone already is no error.
func (s *S3) remove(ctx context.Context, names []string) error {
	results, err := s.core.RemoveObjectsWithIter(ctx, s.bucket, func(yield func(minio.ObjectInfo) bool) {
		for _, name := range names {
			if !yield(minio.ObjectInfo{Key: name}) {
				return
			}
		}
	}, minio.RemoveObjectsOptions{})
	if err != nil {
		return err
	}
	for r := range results {
		if err == nil && !notThere(r.Err) {
			err = r.Err
		}
	}
	if err == nil {
		err = ctx.Err() // it ends the loop without a word
	}
	return err
}

// Check implements Store: it looks for the marker, writes a small object and removes it.
func (s *S3) Check(ctx context.Context) error {
	if err := s.checkMarker(ctx); err != nil {
		return err
	}
	name := s.prefix + tempName(markerFile)
	err := s.put(ctx, name, []byte("check\n"), minio.PutObjectOptions{})
	if err == nil {
		err = s.core.RemoveObject(ctx, s.bucket, name, minio.RemoveObjectOptions{})
	}
	if err != nil {
		return s.explain("check the blob store", err)
	}
	return nil
}

// Identity implements Store.
func (s *S3) Identity(ctx context.Context) (string, error) {
	return "s3:" + s.id, s.checkMarker(ctx)
}

// Close implements Store.
func (s *S3) Close() error {
	s.http.CloseIdleConnections()
	return nil
}

// checkMarker makes sure that the bucket holds the store, below its prefix.
func (s *S3) checkMarker(ctx context.Context) error {
	m, err := s.readMarker(ctx)
	switch {
	case notThere(err):
		return fmt.Errorf("bucket %s has no %s%s marker any more: its objects were deleted, or moved", s.bucket, s.prefix, markerFile)
	case err == nil && m.ID != s.id:
		return fmt.Errorf("bucket %s holds another blob store than at the start", s.bucket)
	case err != nil:
		return s.explain("read the blob store's marker", err)
	}
	return nil
}

func (s *S3) readMarker(ctx context.Context) (marker, error) {
	text, err := s.get(ctx, s.prefix+markerFile)
	if err != nil {
		return marker{}, err
	}
	return parseMarker(text)
}

// ensureMarker reads the marker, or makes one where there is nothing below the prefix. When several
// processes do that at once, all get the same.
func (s *S3) ensureMarker(ctx context.Context) (marker, error) {
	m, err := s.readMarker(ctx)
	if !notThere(err) {
		return m, err
	}
	for o := range s.core.ListObjectsIter(ctx, s.bucket, minio.ListObjectsOptions{Prefix: s.prefix, MaxKeys: 1}) {
		if o.Err != nil {
			return marker{}, o.Err
		}
		if m, err = s.readMarker(ctx); notThere(err) { // it may have been made since the first look
			return marker{}, fmt.Errorf("it holds objects but no %s%s marker: is it the right prefix? "+
				"Only an empty one becomes a new blob store", s.prefix, markerFile)
		}
		return m, err
	}
	text, err := json.Marshal(marker{Version: markerVersion, ID: randomName()})
	if err != nil {
		return marker{}, err
	}
	var o minio.PutObjectOptions
	o.SetMatchETagExcept("*")
	if err = s.put(ctx, s.prefix+markerFile, text, o); err != nil && !madeByAnother(err) {
		return marker{}, err
	}
	return s.readMarker(ctx)
}

// now is the time by the server's clock, which dates its objects.
func (s *S3) now() time.Time { return time.Now().Add(time.Duration(s.ahead.Load())) }

// RoundTrip passes requests on, and learns from the answers how far the server's clock is ahead.
func (s *S3) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := s.http.RoundTrip(r)
	if err == nil {
		if date, dateErr := http.ParseTime(resp.Header.Get("Date")); dateErr == nil {
			s.ahead.Store(int64(time.Until(date)))
		}
	}
	return resp, err
}

func notThere(err error) bool {
	var r minio.ErrorResponse
	return errors.As(err, &r) && r.StatusCode == http.StatusNotFound && r.Code == minio.NoSuchKey
}

// madeByAnother says that a conditional write came second.
func madeByAnother(err error) bool {
	var r minio.ErrorResponse
	return errors.As(err, &r) && (r.StatusCode == http.StatusPreconditionFailed || r.StatusCode == http.StatusConflict)
}
