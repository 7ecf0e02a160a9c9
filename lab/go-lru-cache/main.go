// A server with a quota for each user, in a map that is made when the user comes.
package main

import (
	"container/list"
	"errors"
	"fmt"
	"log"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/rlimit"

	"scenario/labkit"
)

const room = 4

type entry struct {
	user  string
	quota *ebpf.Map
}

// cache has the quotas of the users that came last.
type cache struct {
	byUser map[string]*list.Element
	order  *list.List
}

func newCache() *cache {
	return &cache{byUser: map[string]*list.Element{}, order: list.New()}
}

func (c *cache) get(user string) (*ebpf.Map, error) {
	if found := c.byUser[user]; found != nil {
		c.order.MoveToFront(found)
		return found.Value.(*entry).quota, nil
	}
	if c.order.Len() >= room {
		if err := c.evict(); err != nil {
			return nil, err
		}
	}
	quota, err := ebpf.NewMap(&ebpf.MapSpec{
		Name: "user_quota", Type: ebpf.Hash, KeySize: 4, ValueSize: 8, MaxEntries: 8,
	})
	if err != nil {
		return nil, fmt.Errorf("quota of %s: %w", user, err)
	}
	labkit.Opened("users", labkit.IDOf(quota))
	c.byUser[user] = c.order.PushFront(&entry{user: user, quota: quota})
	return quota, nil
}

// evict closes the quota that was used longest ago.
func (c *cache) evict() error {
	oldest := c.order.Remove(c.order.Back()).(*entry)
	delete(c.byUser, oldest.user)
	labkit.Closed("users", labkit.IDOf(oldest.quota))
	return oldest.quota.Close()
}

func (c *cache) Close() (err error) {
	for c.order.Len() > 0 {
		err = errors.Join(err, c.evict())
	}
	return err
}

type server struct {
	quotas *cache
	users  int
}

// request takes bytes from a user's quota.
func (s *server) request(user string, bytes uint64) error {
	quota, err := s.quotas.get(user)
	if err != nil {
		return err
	}
	var used uint64
	if err := quota.Lookup(uint32(0), &used); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		return fmt.Errorf("quota of %s: %w", user, err)
	}
	return quota.Put(uint32(0), used+bytes)
}

func (s *server) step() error {
	s.users++
	if err := s.request(fmt.Sprintf("user-%d", s.users), 100); err != nil {
		return err
	}
	return s.request("root", 1)
}

func main() {
	if err := rlimit.RemoveMemlock(); err != nil {
		log.Fatal(err)
	}
	s := &server{quotas: newCache()}
	if err := s.request("root", 1); err != nil {
		log.Fatal(err)
	}
	if err := labkit.Serve(s.step); err != nil {
		log.Fatal(err)
	}
	if err := s.quotas.Close(); err != nil {
		log.Fatal(err)
	}
}
