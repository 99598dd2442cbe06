-module(main).
-export([main/1]).

main(_Arguments) ->
    halt(3).
