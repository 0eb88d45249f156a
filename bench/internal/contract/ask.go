package contract

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"
)

// Controller asks the control endpoint of another process.
type Controller struct{ Addr string }

// Memory returns the memory of the server, after a garbage collection if
// collect is set.
func (c Controller) Memory(collect bool) (Memory, error) {
	var m Memory
	method, path := http.MethodGet, "/memory"
	if collect {
		method, path = http.MethodPost, "/gc"
	}
	body, err := c.ask(method, path)
	if err != nil {
		return m, err
	}
	if err := json.Unmarshal(body, &m); err != nil {
		return m, fmt.Errorf("control: %s: %w", path, err)
	}
	return m, nil
}

// StartCPU begins a CPU profile, and StopCPU ends and returns it.
func (c Controller) StartCPU() error {
	_, err := c.ask(http.MethodPost, "/cpu/start")
	return err
}

// StopCPU ends the profile that StartCPU has begun, and returns it.
func (c Controller) StopCPU() ([]byte, error) { return c.ask(http.MethodPost, "/cpu/stop") }

// Heap returns a heap profile.
func (c Controller) Heap() ([]byte, error) { return c.ask(http.MethodGet, "/heap") }

func (c Controller) ask(method, path string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, "http://"+c.Addr+path, http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("control: %w", err)
	}
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, fmt.Errorf("control: %w", err)
	}
	defer resp.Body.Close() //nolint:errcheck // only read
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("control: %s: %w", path, err)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("control: %s: %s: %s", path, resp.Status, body)
	}
	return body, nil
}
