// A tool for test/tools/go.test.ts: `main DIRECTORY` writes a client assertion for each line of its input. The test puts code of
// docs/tools/go.md into the package page.
package main

import (
	"bufio"
	"fmt"
	"os"

	tool "example.org/tool/page"
)

func main() {
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		token, err := tool.ClientAssertion(os.Args[1])
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		fmt.Println(token)
	}
}
