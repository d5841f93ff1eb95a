package blob

import (
	"bytes"
	"context"
	"fmt"
	"io"

	"github.com/minio/minio-go/v7"
)

// partSize is the smallest part of a large object that S3 takes, and what a Put holds in memory at
// most.
const partSize = 5 << 20 // bytes

// Put implements Store. It holds a voucher of up to 5 MiB in memory, and a larger one in parts of
// that size.
func (s *S3) Put(ctx context.Context, meta Meta, r io.Reader) (Entry, error) {
	p, err := newPlace(meta.Account)
	if err != nil {
		return Entry{}, err
	}
	if err = s.put(ctx, s.unclaimed(p), nil, minio.PutObjectOptions{}); err != nil {
		return Entry{}, s.explain("put in the blob store", err)
	}
	w := s3Writer{s: s, name: s.voucher(p)}
	entry, err := w.write(ctx, p, meta, r)
	if err != nil {
		clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupLimit)
		defer cancel()
		w.abort(clean)
		_ = s.Delete(clean, p.key) // What stays is unclaimed and will be found.
		return Entry{}, s.explain("put in the blob store", err)
	}
	return entry, nil
}

// s3Writer writes one voucher.
type s3Writer struct {
	s      *S3
	name   string
	upload string // of an object in parts; "": there is none
	parts  []minio.CompletePart
}

func (w *s3Writer) write(ctx context.Context, p place, meta Meta, r io.Reader) (Entry, error) {
	var buf bytes.Buffer
	sum := newSums()
	for {
		buf.Reset()
		n, err := buf.ReadFrom(io.LimitReader(interruptible{ctx, r}, partSize))
		if err != nil {
			return Entry{}, fmt.Errorf("read the voucher: %w", err)
		}
		_, _ = sum.Write(buf.Bytes()) // it takes everything
		if n == partSize {
			if err = w.part(ctx, buf.Bytes()); err != nil {
				return Entry{}, err
			}
			continue
		}
		entry := sum.entry(p.key)
		text, err := record{Stored: Stored{Entry: entry, Meta: meta, PutAt: w.s.now()}}.trailer()
		if err != nil {
			return Entry{}, err
		}
		buf.Write(text)
		return entry, w.finish(ctx, buf.Bytes())
	}
}

// part sends a part that is not the last.
func (w *s3Writer) part(ctx context.Context, b []byte) (err error) {
	if w.upload == "" {
		if w.upload, err = w.s.core.NewMultipartUpload(ctx, w.s.bucket, w.name, minio.PutObjectOptions{}); err != nil {
			return err
		}
	}
	done, err := w.s.core.PutObjectPart(ctx, w.s.bucket, w.name, w.upload, len(w.parts)+1, bytes.NewReader(b), int64(len(b)),
		minio.PutObjectPartOptions{Sha256Hex: sumOf(b)})
	w.parts = append(w.parts, minio.CompletePart{PartNumber: done.PartNumber, ETag: done.ETag})
	return err
}

// finish sends the last bytes, and makes the object.
func (w *s3Writer) finish(ctx context.Context, b []byte) error {
	if w.upload == "" {
		return w.s.put(ctx, w.name, b, minio.PutObjectOptions{})
	}
	err := w.part(ctx, b)
	if err == nil {
		_, err = w.s.core.CompleteMultipartUpload(ctx, w.s.bucket, w.name, w.upload, w.parts, minio.PutObjectOptions{})
	}
	return err
}

// abort drops parts that will make no object.
func (w *s3Writer) abort(ctx context.Context) {
	if w.upload != "" {
		_ = w.s.core.AbortMultipartUpload(ctx, w.s.bucket, w.name, w.upload) // else the bucket's rules do
	}
}
