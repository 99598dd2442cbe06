const answer: number = 42;
const = answer;
