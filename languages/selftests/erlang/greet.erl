-module(main).
-export([main/1]).

main(_Arguments) ->
    Name = string:trim(io:get_line("")),
    io:format("Hello, ~s!~n", [Name]).
