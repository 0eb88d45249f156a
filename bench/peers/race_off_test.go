//go:build !race

package main

var racy = map[string]string{}
