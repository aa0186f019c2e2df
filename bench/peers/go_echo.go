// go_echo - an echo server with a goroutine for each connection, as Go programs are written.
//
// usage: go_echo     prints tcp://127.0.0.1:PORT; GOMAXPROCS in the environment says how many processors it uses
package main

import (
	"fmt"
	"net"
	"os"
)

func serve(conn net.Conn) {
	defer conn.Close()
	buffer := make([]byte, 16384)
	for {
		n, err := conn.Read(buffer)
		if err != nil {
			return
		}
		if _, err = conn.Write(buffer[:n]); err != nil {
			return
		}
	}
}

func main() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintf(os.Stderr, "go_echo: %v\n", err)
		os.Exit(1)
	}
	fmt.Printf("tcp://%s\n", listener.Addr())
	for {
		conn, err := listener.Accept()
		if err == nil {
			go serve(conn)
		}
	}
}
