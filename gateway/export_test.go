package gateway

// Limits are what tests make smaller; programs have no need to.
type Limits = limits

// Limits gives the limits, to change.
func (c *Config) Limits() *Limits { return &c.limits }

// Waiting counts the calls that wait for events.
func Waiting(g *Gateway) int { return g.api.Waiting() }
