package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// webhooks are what a sender of webhooks tells of itself.
type webhooks struct {
	sent *prometheus.CounterVec
	lag  *prometheus.GaugeVec
}

func newWebhooks() webhooks {
	return webhooks{
		sent: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "voucherd_webhooks_total", Help: "Tries to send an event, by result: delivered, failed or given_up.",
		}, []string{"account", "result"}),
		lag: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "voucherd_webhook_lag_seconds",
			Help: "Age of the oldest event that did not arrive yet, from the worker whose turn it is to send; 0 when all did.",
		}, []string{"account"}),
	}
}

// WebhookSent counts a try to send an event.
func (m *Metrics) WebhookSent(account, result string, _ time.Duration) {
	m.webhooks.sent.WithLabelValues(account, result).Inc()
}

// WebhookLag notes how old the oldest event is that did not arrive; negative: it is another's to say.
func (m *Metrics) WebhookLag(account string, lag time.Duration) {
	if lag < 0 {
		m.webhooks.lag.DeleteLabelValues(account)
		return
	}
	m.webhooks.lag.WithLabelValues(account).Set(lag.Seconds())
}
