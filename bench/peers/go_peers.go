// go_peers - the work of the core benchmarks done with Go's goroutines, channels and mutex.
//
// usage: go_peers WHAT N     does N operations of WHAT and prints one number: nanoseconds each, or, for "parked" and
// "parked_machine", bytes of memory each, and for "timer_late" the median in microseconds.
package main

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"runtime"
	"sort"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

func die(format string, args ...interface{}) {
	fmt.Fprintf(os.Stderr, "go_peers: "+format+"\n", args...)
	os.Exit(1)
}

// A round trip between two goroutines over two unbuffered channels, on one thread.
func pingpong(n int) {
	runtime.GOMAXPROCS(1)
	ping, pong := make(chan struct{}), make(chan struct{})
	go func() {
		for range ping {
			pong <- struct{}{}
		}
	}()
	for i := 0; i < n; i++ {
		ping <- struct{}{}
		<-pong
	}
	close(ping)
}

// Two goroutines of one thread that yield to each other; an operation is one yield.
func yield(n int) {
	runtime.GOMAXPROCS(1)
	done := make(chan struct{})
	other := func() {
		for i := 0; i < n/2; i++ {
			runtime.Gosched()
		}
		done <- struct{}{}
	}
	go other()
	go other()
	<-done
	<-done
}

// Start one goroutine, wait for its end, then the next.
func startJoin(n int) {
	var wg sync.WaitGroup
	for i := 0; i < n; i++ {
		wg.Add(1)
		go func() { wg.Done() }()
		wg.Wait()
	}
}

// Start a thousand at a time, wait for all of them, then the next thousand.
func startBatch(n int) {
	var wg sync.WaitGroup
	for left := n; left > 0; left -= 1000 {
		batch := left
		if batch > 1000 {
			batch = 1000
		}
		wg.Add(batch)
		for i := 0; i < batch; i++ {
			go func() { wg.Done() }()
		}
		wg.Wait()
	}
}

// A future is a fresh channel with room for one: set and read by one goroutine.
func futureSetGet(n int) {
	for i := 0; i < n; i++ {
		f := make(chan *int, 1)
		f <- &n
		<-f
	}
}

type future chan future

// Two goroutines of one thread; each message is a fresh future whose value is the future of the answer.
func futureRoundtrip(n int) {
	runtime.GOMAXPROCS(1)
	first := make(future, 1)
	answer := func(f future) future {
		reply := <-f
		next := make(future, 1)
		reply <- next
		return next
	}
	go func() {
		for f := first; ; f = answer(f) {
		}
	}()
	f := make(future, 1)
	first <- f
	for i := 1; i < n; i++ {
		f = answer(f)
	}
	<-f
}

func selectTwo(a, b chan int) bool {
	select {
	case <-a:
		return true
	case <-b:
		return false
	}
}

// Put into one of two channels, take by select over both.
func selectReady(n int) {
	a, b := make(chan int, 1), make(chan int, 1)
	for i := 0; i < n; i++ {
		if i&1 != 0 {
			a <- 1
		} else {
			b <- 1
		}
		selectTwo(a, b)
	}
}

// A round trip between two goroutines of one thread that both wait by select.
func selectRoundtrip(n int) {
	runtime.GOMAXPROCS(1)
	ping, pong, quit := make(chan int, 1), make(chan int, 1), make(chan int, 1)
	go func() {
		for selectTwo(ping, quit) {
			pong <- 1
		}
	}()
	for i := 0; i < n; i++ {
		ping <- 1
		selectTwo(pong, quit)
	}
	close(quit)
}

// n elements from `pairs` goroutines to as many others over one buffered channel.
func queue(n, pairs, capacity int) {
	c := make(chan uint64, capacity)
	var wg sync.WaitGroup
	each := n/pairs + 1
	for i := 0; i < pairs; i++ {
		wg.Add(2)
		go func() {
			for k := 0; k < each; k++ {
				<-c
			}
			wg.Done()
		}()
		go func() {
			for k := 0; k < each; k++ {
				c <- uint64(k)
			}
			wg.Done()
		}()
	}
	wg.Wait()
}

// One goroutine that sends to itself.
func queueAlone(n int) {
	c := make(chan uint64, 1024)
	for i := 0; i < n; i++ {
		c <- uint64(i)
		<-c
	}
}

// A round trip between two goroutines, each on a thread of its own.
func pingpongThreads(n int) {
	ping, pong := make(chan uint64, 1), make(chan uint64, 1)
	go func() {
		runtime.LockOSThread()
		for i := range ping {
			pong <- i
		}
	}()
	runtime.LockOSThread()
	for i := 0; i < n; i++ {
		ping <- uint64(i)
		<-pong
	}
	close(ping)
}

func mutex(n int) {
	var m sync.Mutex
	for i := 0; i < n; i++ {
		m.Lock()
		m.Unlock() //nolint:staticcheck // the empty section is the point
	}
}

// A million timers: set each to somewhere between a second and a thousand, then stop each.
func timersMillion(n int) {
	random := uint64(88172645463325252)
	timers := make([]*time.Timer, n)
	for i := range timers {
		random ^= random << 13
		random ^= random >> 7
		random ^= random << 17
		timers[i] = time.AfterFunc(time.Duration(1000+random%999000)*time.Millisecond, func() {})
	}
	for _, t := range timers {
		if !t.Stop() {
			die("a timer has fired")
		}
	}
}

// How late a timer of a millisecond is: the median of n, in microseconds.
func timerLate(n int) float64 {
	late := make([]int64, n)
	for i := range late {
		due := time.Now().Add(time.Millisecond)
		<-time.NewTimer(time.Millisecond).C
		late[i] = time.Since(due).Nanoseconds()
	}
	sort.Slice(late, func(i, j int) bool { return late[i] < late[j] })
	return float64(late[n/2]) / 1000
}

// Two goroutines share out n turns of a mutex that both want all the time.
func mutex2(n int) {
	var m sync.Mutex
	var wg sync.WaitGroup
	shared := 0
	for k := 0; k < 2; k++ {
		wg.Add(1)
		go func() {
			for i := 0; i < n/2; i++ {
				m.Lock()
				shared++
				m.Unlock()
			}
			wg.Done()
		}()
	}
	wg.Wait()
}

func field(path, name string) int64 {
	file, err := os.Open(path)
	if err != nil {
		die("%v", err)
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if words := strings.Fields(lines.Text()); len(words) >= 2 && words[0] == name {
			kb, _ := strconv.ParseInt(words[1], 10, 64)
			return kb * 1024
		}
	}
	die("no %s in %s", name, path)
	return 0
}

func rss() int64       { return field("/proc/self/smaps_rollup", "Rss:") }
func available() int64 { return field("/proc/meminfo", "MemAvailable:") }

// n goroutines that all wait on one channel: bytes each, by `memory`, that they cost while they wait.
func parked(n int, memory func() int64, sign int64) float64 {
	var started int64
	release := make(chan struct{})
	before := memory()
	for i := 0; i < n; i++ {
		go func() {
			atomic.AddInt64(&started, 1)
			<-release
		}()
	}
	for atomic.LoadInt64(&started) < int64(n) {
		time.Sleep(time.Millisecond)
	}
	time.Sleep(100 * time.Millisecond)
	cost := float64(sign*(memory()-before)) / float64(n)
	close(release)
	return cost
}

type job struct {
	arg, result int
	done        chan struct{}
	all         *sync.WaitGroup
}

func poolWorkers(run func(*job)) chan *job {
	jobs := make(chan *job, 1024)
	for i := 0; i < 2; i++ {
		go func() {
			for j := range jobs {
				run(j)
			}
		}()
	}
	return jobs
}

// Empty jobs for two workers, a thousand at a time, each with a channel for its answer.
func poolJobs(n int) {
	jobs := poolWorkers(func(j *job) {
		j.result = j.arg
		j.done <- struct{}{}
	})
	window := make([]*job, 1000)
	for i := 0; i < n; i += len(window) {
		for k := range window {
			window[k] = &job{arg: k, done: make(chan struct{}, 1)}
			jobs <- window[k]
		}
		for _, j := range window {
			<-j.done
		}
	}
}

// The same in structs that are used again and again, with one WaitGroup for a thousand.
func poolJobsStruct(n int) {
	jobs := poolWorkers(func(j *job) {
		j.result = j.arg
		j.all.Done()
	})
	var all sync.WaitGroup
	window := make([]job, 1000)
	for i := 0; i < n; i += len(window) {
		all.Add(len(window))
		for k := range window {
			window[k] = job{arg: k, all: &all}
			jobs <- &window[k]
		}
		all.Wait()
	}
}

// One job to a worker over one channel, its answer over another, then the next.
func poolRoundtrip(n int) {
	jobs, answers := make(chan int), make(chan int)
	for i := 0; i < 2; i++ {
		go func() {
			for j := range jobs {
				answers <- j
			}
		}()
	}
	for i := 0; i < n; i++ {
		jobs <- i
		<-answers
	}
}

// A datagram of 64 bytes to a server and back, 32 of them under way. The standard library sends one a call.
func udpEcho(n int) {
	server, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		die("%v", err)
	}
	go func() {
		data := make([]byte, 2048)
		for {
			size, from, err := server.ReadFromUDPAddrPort(data)
			if err != nil {
				return
			}
			server.WriteToUDPAddrPort(data[:size], from)
		}
	}()
	client, err := net.DialUDP("udp4", nil, server.LocalAddr().(*net.UDPAddr))
	if err != nil {
		die("%v", err)
	}
	client.SetReadDeadline(time.Now().Add(time.Minute)) // what was lost never comes
	data := make([]byte, 64)
	for done := 0; done < n; {
		some := n - done
		if some > 32 {
			some = 32
		}
		for i := 0; i < some; i++ {
			if _, err := client.Write(data); err != nil {
				die("%v", err)
			}
		}
		for i := 0; i < some; i++ {
			if _, err := client.Read(data); err != nil {
				die("%v", err)
			}
		}
		done += some
	}
	client.Close()
	server.Close()
}

func main() {
	if len(os.Args) != 3 {
		die("usage: go_peers WHAT N")
	}
	n, err := strconv.Atoi(os.Args[2])
	if err != nil || n < 1 {
		die("not a number of operations: %s", os.Args[2])
	}
	timed := map[string]func(int){"pingpong": pingpong, "yield": yield, "start_join": startJoin,
		"start_batch": startBatch, "mutex": mutex, "mutex_2": mutex2, "timers_million": timersMillion,
		"future_set_get": futureSetGet, "future_roundtrip": futureRoundtrip,
		"queue_1": func(n int) { queue(n, 1, 1024) }, "queue_2": func(n int) { queue(n, 2, 1024) },
		"queue_4": func(n int) { queue(n, 4, 1024) }, "queue_16": func(n int) { queue(n, 1, 16) },
		"queue_alone": queueAlone, "pingpong_threads": pingpongThreads,
		"pool_jobs": poolJobs, "pool_jobs_struct": poolJobsStruct, "pool_roundtrip": poolRoundtrip,
		"select_ready": selectReady, "select_roundtrip": selectRoundtrip, "udp_echo": udpEcho}
	if run, ok := timed[os.Args[1]]; ok {
		began := time.Now()
		run(n)
		fmt.Printf("%.3f\n", float64(time.Since(began).Nanoseconds())/float64(n))
	} else if os.Args[1] == "timer_late" {
		fmt.Printf("%.3f\n", timerLate(n))
	} else if os.Args[1] == "parked" {
		fmt.Printf("%.1f\n", parked(n, rss, 1))
	} else if os.Args[1] == "parked_machine" {
		fmt.Printf("%.1f\n", parked(n, available, -1))
	} else {
		die("unknown work: %s", os.Args[1])
	}
}
