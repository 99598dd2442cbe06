parse linein name
say 'Hello,' name'!'
