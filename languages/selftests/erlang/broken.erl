-module(main).
-export([main/1]).

main(_Arguments) ->
    io:format(Missing).
