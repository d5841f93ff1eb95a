package incident

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/voucherd/voucherd/ledger"
)

// The languages of a report's text.
const (
	English = "en"
	Chinese = "zh" // Simplified
)

// words are the parts of a report's text in one language.
type words struct {
	title, account, none, uploads, orders, cut string
	attempts, code, message, requests          string
	separator                                  string
	outcomes                                   map[ledger.Outcome]string
	states                                     map[ledger.State]string
}

func wordsOf(language string) words {
	if language == Chinese {
		return words{
			title: "凭证上传失败情况，%s 至 %s", account: "账户：%s", none: "此时间段内没有失败的上传。",
			uploads: "受影响的上传：%d（目前：%s）", orders: "涉及订单（最多列出 20 个）：%s", cut: "记录过多，仅读取了其中一部分：实际数量更多。",
			attempts: "%d 次尝试，涉及 %d 个上传；首次 %s，最近一次 %s", code: "代码 %s", message: "消息：%s", requests: "requestId（最多列出 20 个）：%s",
			separator: "，",
			outcomes: map[ledger.Outcome]string{
				ledger.OutcomeThrottled: "接口要求放慢", ledger.OutcomeRefused: "接口拒绝", ledger.OutcomeUnavailable: "接口不可用",
				ledger.OutcomeUnclear: "没有明确答复，可能已收到", ledger.OutcomeInterrupted: "我方进程中断，可能已收到",
				ledger.OutcomeInvalid: "我方保存的凭证缺失或损坏，未发送",
			},
			states: map[ledger.State]string{
				ledger.Queued: "排队中 %d", ledger.Sending: "发送中 %d", ledger.Waiting: "等待重试 %d", ledger.Delivered: "已送达 %d",
				ledger.Rejected: "被拒绝 %d", ledger.Expired: "已超时 %d", ledger.Discarded: "已放弃 %d",
			},
		}
	}
	return words{
		title: "Voucher uploads that failed, %s to %s", account: "Account: %s", none: "No upload failed in this time.",
		uploads: "Affected uploads: %d (now: %s)", orders: "Orders (at most 20): %s", cut: "Not everything was read: there is more than is counted here.",
		attempts: "%d attempts of %d uploads; first %s, last %s", code: "code %s", message: "message: %s", requests: "requestId (at most 20): %s",
		separator: ", ",
		outcomes: map[ledger.Outcome]string{
			ledger.OutcomeThrottled: "told to wait", ledger.OutcomeRefused: "refused", ledger.OutcomeUnavailable: "API not available",
			ledger.OutcomeUnclear: "no clear answer, may have arrived", ledger.OutcomeInterrupted: "cut off on our side, may have arrived",
			ledger.OutcomeInvalid: "voucher missing or damaged on our side, not sent",
		},
		states: map[ledger.State]string{
			ledger.Queued: "%d queued", ledger.Sending: "%d being sent", ledger.Waiting: "%d waiting", ledger.Delivered: "%d delivered",
			ledger.Rejected: "%d rejected", ledger.Expired: "%d expired", ledger.Discarded: "%d discarded",
		},
	}
}

// Text writes a report for people, in English or Chinese; times are in the local zone, which they
// name.
func (r Report) Text(language string) string {
	w := wordsOf(language)
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line(w.title, clock(r.From), clock(r.To))
	if r.Account != "" {
		line(w.account, r.Account)
	}
	if r.Uploads == 0 {
		line("%s", w.none)
	} else {
		var states []string
		for _, s := range ledger.States() {
			if n := r.States[s]; n > 0 {
				states = append(states, fmt.Sprintf(w.states[s], n))
			}
		}
		line(w.uploads, r.Uploads, strings.Join(states, w.separator))
		line(w.orders, strings.Join(r.Orders, ", "))
	}
	if r.Cut {
		line("%s", w.cut)
	}
	for i, g := range r.Groups {
		line("\n%d. %s", i+1, w.kind(g.Kind))
		line("   "+w.attempts, g.Attempts, g.Uploads, clock(g.First), clock(g.Last))
		if len(g.RequestIDs) > 0 {
			line("   "+w.requests, strings.Join(g.RequestIDs, ", "))
		}
	}
	return b.String()
}

// kind says how attempts failed, in one line.
func (w words) kind(k Kind) string {
	parts := []string{string(k.Outcome)}
	if said, ok := w.outcomes[k.Outcome]; ok {
		parts[0] = said
	}
	if k.HTTPStatus != 0 {
		parts = append(parts, "HTTP "+strconv.Itoa(k.HTTPStatus))
	}
	if k.Code != "" {
		parts = append(parts, fmt.Sprintf(w.code, k.Code))
	}
	if k.Message != "" {
		parts = append(parts, fmt.Sprintf(w.message, k.Message))
	}
	return strings.Join(parts, w.separator)
}

func clock(t ledger.Time) string { return t.Local().Format("2006-01-02 15:04:05 -0700") }
