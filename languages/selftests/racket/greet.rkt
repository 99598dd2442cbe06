#lang racket/base

(printf "Hello, ~a!\n" (read-line))
