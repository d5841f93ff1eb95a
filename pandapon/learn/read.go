package learn

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"net/url"
	"path"
	"slices"
	"strings"

	"github.com/voucherd/voucherd/pandapon"
)

// ErrUnsigned means that a file holds no request with a signature header.
var ErrUnsigned = errors.New("no request with a signature header was found: the file must be a curl command, a HAR, or a request as it is sent, with its headers")

// Read gives the signed requests of a file, those to uploadPath first. The file is a HAR, one entry
// of a HAR, a request as HTTP sends it, its headers alone, what curl --verbose says, or curl
// commands of a POSIX shell. Read does not hold on to b.
func Read(b []byte, uploadPath string) ([]Request, error) {
	b = bytes.TrimPrefix(b, []byte("\xef\xbb\xbf"))
	var signed []Request
	for _, read := range []func([]byte) []Request{readHAR, readRaw, readCurl} {
		if signed = slices.DeleteFunc(read(b), unsigned); len(signed) > 0 {
			break
		}
	}
	if len(signed) == 0 {
		return nil, ErrUnsigned
	}
	slices.SortStableFunc(signed, func(a, b Request) int { return elsewhere(a, uploadPath) - elsewhere(b, uploadPath) })
	return signed, nil
}

func unsigned(r Request) bool { return r.Signature == "" }

func elsewhere(r Request, uploadPath string) int {
	if strings.HasSuffix(r.Path, uploadPath) { // a base URL may have a path of its own
		return 0
	}
	return 1
}

// set takes a header. Of several with one name the first counts.
func (r *Request) set(name, value string) {
	field := map[string]*string{
		pandapon.HeaderAccessKey: &r.AccessKey, pandapon.HeaderTimestamp: &r.Timestamp, pandapon.HeaderNonce: &r.Nonce,
		pandapon.HeaderUserID: &r.UserID, pandapon.HeaderSignature: &r.Signature,
	}[strings.ToLower(strings.TrimSpace(name))]
	if field != nil && *field == "" {
		*field = strings.Clone(strings.TrimSpace(value))
	}
}

// setURL takes the path of a URL, or of a request line.
func (r *Request) setURL(text string) {
	if u, err := url.Parse(text); err == nil && r.Path == "" {
		r.Path = path.Clean("/" + u.Path)
	}
}

type harRequest struct {
	URL     string `json:"url"`
	Headers []struct {
		Name  string `json:"name"`
		Value string `json:"value"`
	} `json:"headers"`
}

type harEntry struct {
	Request harRequest `json:"request"`
}

// readHAR reads a HAR, an entry of one, or the request of an entry.
func readHAR(b []byte) []Request {
	var file struct {
		Log struct {
			Entries []harEntry `json:"entries"`
		} `json:"log"`
		harEntry
		harRequest
	}
	if json.Unmarshal(b, &file) != nil {
		return nil
	}
	var all []Request
	for _, e := range append(file.Log.Entries, file.harEntry, harEntry{file.harRequest}) {
		var r Request
		r.setURL(e.Request.URL)
		for _, h := range e.Request.Headers {
			r.set(h.Name, h.Value)
		}
		all = append(all, r)
	}
	return all
}

// maxLine bounds a line of a request: those of headers are shorter, and a body's end the reading.
const maxLine = 64 << 10

// readRaw reads a request line and headers, or headers alone, up to the first line that is empty.
// The > that curl --verbose puts before them does not count.
func readRaw(b []byte) []Request {
	var r Request
	lines := bufio.NewScanner(bytes.NewReader(b))
	lines.Buffer(nil, maxLine)
	for begun := false; lines.Scan(); {
		line := strings.TrimSpace(strings.TrimPrefix(lines.Text(), ">"))
		if line == "" && begun {
			break
		}
		if words := strings.Fields(line); len(words) == 3 && strings.HasPrefix(words[2], "HTTP/") {
			r.setURL(words[1])
			begun = true
		} else if name, value, ok := strings.Cut(line, ":"); ok && !strings.ContainsAny(name, " \t'\"") {
			r.set(name, value)
			begun = true
		}
	}
	return []Request{r}
}

// readCurl reads the curl commands of a shell's text. What stands around them does not matter.
func readCurl(b []byte) []Request {
	var all []Request
	header := false // the next word is one
	for word := range shellWords(string(b)) {
		if word == "curl" || strings.HasSuffix(word, "/curl") || strings.HasSuffix(word, "curl.exe") {
			all = append(all, Request{})
			header = false
			continue
		}
		if len(all) == 0 {
			continue
		}
		r := &all[len(all)-1]
		long, isLong := strings.CutPrefix(word, "--header=")
		short, isShort := strings.CutPrefix(word, "-H")
		switch {
		case header:
			r.setHeader(word)
			header = false
		case word == "-H", word == "--header", isCluster(word):
			header = true
		case isLong:
			r.setHeader(long)
		case isShort:
			r.setHeader(short)
		case strings.HasPrefix(word, "https://"), strings.HasPrefix(word, "http://"):
			r.setURL(word)
		}
	}
	return all
}

// isCluster says whether a word is some short flags of curl of which the last is that of a header.
func isCluster(word string) bool {
	flags, ok := strings.CutSuffix(word, "H")
	return ok && len(flags) > 1 && strings.Trim(flags[1:], "sSkLvifgGN0123456") == "" && flags[0] == '-'
}

func (r *Request) setHeader(line string) {
	name, value, _ := strings.Cut(line, ":")
	r.set(name, value)
}
