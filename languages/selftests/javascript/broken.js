const answer = 42;
const = answer;
