package gateway

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/hibiken/asynq"
	"github.com/hibiken/asynqmon"
	"github.com/redis/go-redis/v9"
)

// queuesPath is where asynqmon lies; its page is told so.
const queuesPath = "/queues"

// NewQueues gives asynqmon for Config.Queues, or, able to look only, for Config.QueuesReadOnly. The
// client stays the caller's to close, and gets a hook. The page may run what its own build holds,
// and nothing else.
func NewQueues(rdb redis.UniversalClient, readOnly bool) (http.Handler, error) {
	rdb.AddHook(unmeasured{})
	m := asynqmon.New(asynqmon.Options{
		RootPath: queuesPath, RedisConnOpt: sharedRedis{rdb}, ReadOnly: readOnly,
		PayloadFormatter: asynqmon.PayloadFormatterFunc(shortText), ResultFormatter: asynqmon.ResultFormatterFunc(shortText),
	})
	index := &kept{header: http.Header{}}
	r := &http.Request{Method: http.MethodGet, URL: &url.URL{Path: queuesPath + "/"}}
	m.ServeHTTP(index, r)
	page := ownPage(index.body.Bytes())
	policy := policyOf(page)
	if policy == "" || page == nil {
		return nil, fmt.Errorf("asynqmon's page is not as it should be: %d bytes, status %d", index.body.Len(), index.status)
	}
	return &queues{asynqmon: m, page: page, policy: policy}, nil
}

// ownPage gives asynqmon's page without what it loads from other sites, which are fonts, and with a
// link back to ours. nil means that the page is another one than is known.
func ownPage(page []byte) []byte {
	const body = "<body>"
	const back = `<a href="/" style="position:fixed;top:18px;right:16px;z-index:2000;padding:5px 10px;border-radius:99px;` +
		`background:#0f766e;color:#fff;font:13px system-ui,sans-serif;text-decoration:none">← voucherd</a>`
	if !bytes.Contains(page, []byte(body)) {
		return nil
	}
	page = regexp.MustCompile(`<link[^>]+href="https?://[^>]*>`).ReplaceAll(page, nil)
	return bytes.Replace(page, []byte(body), []byte(body+back), 1)
}

// sharedRedis hands a client that there is to asynqmon, which would else make two more.
type sharedRedis struct{ client redis.UniversalClient }

// MakeRedisClient gives the client.
func (s sharedRedis) MakeRedisClient() any { return s.client }

type queues struct {
	asynqmon http.Handler
	page     []byte // what it answers with for all addresses that its scripts make pages of
	policy   string
}

func (q *queues) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Security-Policy", q.policy)
	if first, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, queuesPath+"/"), "/"); first != "api" && first != "static" && !strings.Contains(first, ".") {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write(q.page) //nolint:gosec // it is the same for all; whoever asked may have gone
		return
	}
	if kind := fileKinds()[strings.ToLower(r.URL.Path[strings.LastIndexByte(r.URL.Path, '.')+1:])]; kind != "" {
		w = &typed{ResponseWriter: w, kind: kind}
	}
	q.asynqmon.ServeHTTP(w, r)
}

// fileKinds are those of asynqmon's files whose kind it takes for plain text, so that browsers
// refuse them.
func fileKinds() map[string]string {
	return map[string]string{"svg": "image/svg+xml", "json": "application/json", "map": "application/json"}
}

// typed answers with a kind of file that is known better here.
type typed struct {
	http.ResponseWriter

	kind string
}

// Write sets the kind before the first byte.
func (t *typed) Write(p []byte) (int, error) {
	t.Header().Set("Content-Type", t.kind)
	return t.ResponseWriter.Write(p)
}

// Unwrap lets http.ResponseController through.
func (t *typed) Unwrap() http.ResponseWriter { return t.ResponseWriter }

// policyOf allows the scripts that stand in asynqmon's page, by their hashes, and the styles that
// its scripts put into it. "" means that the page holds no
// script.
func policyOf(page []byte) string {
	var hashes strings.Builder
	for _, script := range regexp.MustCompile(`(?s)<script>(.*?)</script>`).FindAllSubmatch(page, -1) {
		sum := sha256.Sum256(script[1])
		hashes.WriteString(" 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'")
	}
	if hashes.Len() == 0 {
		return ""
	}
	return "default-src 'none'; script-src 'self'" + hashes.String() + "; style-src 'self' 'unsafe-inline'; " +
		"img-src 'self' data:; font-src 'self' data:; connect-src 'self'; manifest-src 'self'; form-action 'none'; " +
		"base-uri 'none'; frame-ancestors 'none'"
}

// kept keeps an answer.
type kept struct {
	header http.Header
	body   bytes.Buffer
	status int
}

func (k *kept) Header() http.Header         { return k.header }
func (k *kept) Write(p []byte) (int, error) { return k.body.Write(p) } // it never fails
func (k *kept) WriteHeader(status int)      { k.status = status }

// longestText is how much of a payload or result is shown. Ours are shorter; another queue's on the
// same Redis may not be.
const longestText = 200

// shortText shows a payload or a result.
func shortText(_ string, b []byte) string {
	switch {
	case !utf8.Valid(b):
		return fmt.Sprintf("%d bytes", len(b))
	case len(b) > longestText:
		return strings.ToValidUTF8(string(b[:longestText]), "") + "…"
	default:
		return string(b)
	}
}

// the interface that asynqmon asks for.
var _ asynq.RedisConnOpt = sharedRedis{}
