package blob

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"strconv"
	"strings"
	"time"

	"filippo.io/age"
)

// ErrLocked means that a voucher is encrypted, and that this process holds no identity that opens
// it. It says nothing about the voucher.
var ErrLocked = errors.New("voucher is encrypted, and no identity here opens it: VOUCHERD_IDENTITY_FILE must hold one of those it was encrypted to")

// Keys encrypt vouchers, and open them again, in the age format. The zero value does neither. A
// producer needs recipients only.
type Keys struct {
	Recipients []age.Recipient // what is put is encrypted to all of them; empty: it is not encrypted
	Identities []age.Identity  // any of them may open a voucher
}

// sealed is what an Entry tells of the encrypted form of a voucher, in its CRC32C: behind the
// checksum of the voucher stand the size and the checksum of what is kept. So it is wherever the
// entry is.
type sealed struct {
	crc  string // of the voucher
	kept Entry
}

const sealedParts = 3

func readSealed(e Entry) (s sealed, ok bool) {
	parts := strings.Split(e.CRC32C, ".")
	if len(parts) != sealedParts {
		return s, false
	}
	size, err := strconv.ParseInt(parts[1], 16, 64)
	return sealed{crc: parts[0], kept: Entry{Key: e.Key, Size: size, CRC32C: parts[2]}}, err == nil
}

// seal gives the entry of a voucher that is kept encrypted.
func seal(voucher, kept Entry) Entry {
	voucher.Key = kept.Key
	voucher.CRC32C = strings.Join([]string{voucher.CRC32C, strconv.FormatInt(kept.Size, 16), kept.CRC32C}, ".")
	return voucher
}

// Seal gives a voucher as it is to be kept elsewhere than in a blob store, and its entry, without a
// key.
func (k Keys) Seal(voucher []byte) (kept []byte, e Entry, err error) {
	e = describe(voucher)
	if len(k.Recipients) == 0 {
		return voucher, e, nil
	}
	r, err := age.EncryptReader(bytes.NewReader(voucher), k.Recipients...)
	if err == nil {
		kept, err = io.ReadAll(r)
	}
	if err != nil {
		return nil, Entry{}, fmt.Errorf("encrypt the voucher: %w", err)
	}
	return kept, seal(e, describe(kept)), nil
}

// Unseal gives a voucher that was kept elsewhere, in pieces, as Store.Open does: the last bytes only
// once size and checksum agree with e, else ErrDamaged. The error may be ErrLocked.
func (k Keys) Unseal(pieces []string, e Entry) (io.ReadCloser, error) {
	s, encrypted := readSealed(e)
	if !encrypted {
		return newVerified(&redisReader{key: e.Key, pieces: pieces, ended: true}, e), nil
	}
	return k.unseal(newVerified(&redisReader{key: e.Key, pieces: pieces, ended: true}, s.kept), e, s)
}

// unseal decrypts src, and closes it on any error.
func (k Keys) unseal(src io.ReadCloser, e Entry, s sealed) (io.ReadCloser, error) {
	if len(k.Identities) == 0 {
		_ = src.Close()
		return nil, fmt.Errorf("%w (there is none)", ErrLocked)
	}
	d := &decrypted{src: src, key: e.Key}
	r, err := age.Decrypt(readerFunc(d.read), k.Identities...)
	if err != nil {
		_, _ = io.Copy(io.Discard, readerFunc(d.read)) // If it is damaged, its end says so.
		_ = src.Close()
		if _, none := errors.AsType[*age.NoIdentityMatchError](err); none && d.err == nil {
			return nil, ErrLocked
		}
		return nil, d.fault(err)
	}
	d.plain = r
	return newVerified(d, Entry{Key: e.Key, Size: e.Size, SHA256: e.SHA256, CRC32C: s.crc}), nil
}

// decrypted reads a voucher out of its encrypted form.
type decrypted struct {
	src   io.ReadCloser
	plain io.Reader
	key   string
	err   error // that src gave, other than its end
}

type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func (d *decrypted) read(p []byte) (int, error) {
	n, err := d.src.Read(p)
	if err != nil && err != io.EOF {
		d.err = err
	}
	return n, err
}

func (d *decrypted) Read(p []byte) (int, error) {
	n, err := d.plain.Read(p)
	if err != nil && err != io.EOF {
		return n, d.fault(err)
	}
	return n, err
}

// fault is the source's own, or says that what it gave cannot be decrypted.
func (d *decrypted) fault(err error) error {
	if d.err != nil {
		return d.err
	}
	return fmt.Errorf("%w: %s cannot be decrypted: %w", ErrDamaged, d.key, err)
}

func (d *decrypted) Close() error { return d.src.Close() }

// Encrypted is a blob store whose vouchers are encrypted on the way into another one. Ids and
// checksums are of the plain bytes. It opens also what was put in plain.
type Encrypted struct {
	Store

	keys Keys
}

// Encrypt puts a layer around a store that encrypts what is put, if keys has recipients, and opens
// what is encrypted.
func Encrypt(s Store, keys Keys) *Encrypted { return &Encrypted{Store: s, keys: keys} }

// Put implements Store.
func (s *Encrypted) Put(ctx context.Context, meta Meta, r io.Reader) (Entry, error) {
	if len(s.keys.Recipients) == 0 {
		return s.Store.Put(ctx, meta, r)
	}
	sum := newSums()
	meta.Plain = new(Entry)
	c, err := age.EncryptReader(io.TeeReader(r, sum), s.keys.Recipients...)
	if err != nil {
		return Entry{}, fmt.Errorf("encrypt the voucher: %w", err)
	}
	kept, err := s.Store.Put(ctx, meta, readerFunc(func(p []byte) (int, error) {
		n, end := c.Read(p)
		if end == io.EOF {
			*meta.Plain = sum.entry("")
		}
		return n, end
	}))
	if err != nil {
		return Entry{}, err
	}
	return seal(sum.entry(""), kept), nil
}

// Open implements Store. The error may be ErrLocked.
func (s *Encrypted) Open(ctx context.Context, e Entry) (io.ReadCloser, error) {
	kept, encrypted := readSealed(e)
	if !encrypted {
		return s.Store.Open(ctx, e)
	}
	src, err := s.Store.Open(ctx, kept.kept)
	if err != nil {
		return nil, err
	}
	return s.keys.unseal(src, e, kept)
}

// Unclaimed implements Store.
func (s *Encrypted) Unclaimed(ctx context.Context, account string, olderThan time.Duration, limit int) ([]Unclaimed, error) {
	found, err := s.Store.Unclaimed(ctx, account, olderThan, limit)
	for i := range found {
		found[i].Entry, found[i].Meta = plain(found[i].Entry, found[i].Meta)
	}
	return found, err
}

// Noted implements Store.
func (s *Encrypted) Noted(ctx context.Context, key string) (Stored, error) {
	v, err := s.Store.Noted(ctx, key)
	v.Entry, v.Meta = plain(v.Entry, v.Meta)
	return v, err
}

// All implements Store.
func (s *Encrypted) All(ctx context.Context) iter.Seq2[Stored, error] {
	return func(yield func(Stored, error) bool) {
		for v, err := range s.Store.All(ctx) {
			v.Entry, v.Meta = plain(v.Entry, v.Meta)
			if !yield(v, err) {
				return
			}
		}
	}
}

// plain gives the entry of a voucher from what the store below notes of it.
func plain(kept Entry, meta Meta) (Entry, Meta) {
	if meta.Plain != nil && meta.Plain.SHA256 != "" {
		kept = seal(*meta.Plain, kept)
	}
	meta.Plain = nil
	return kept, meta
}
