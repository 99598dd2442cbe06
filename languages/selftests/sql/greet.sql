.mode list
CREATE TABLE input (name TEXT);
.import /dev/stdin input

SELECT 'Hello, ' || name || '!' FROM input;
