#!/usr/bin/env bash
# Makes up people, companies and villages: facts that no model can know, questions about them, and the answers. The same
# files each time and on every machine. No name of the training files is in those for tests.
#
#   datasets/invented.sh [FOLDER]     default data/invented
#
# Writes train-documents.jsonl and train-questions.jsonl (600 documents, 2,400 questions), test-documents.jsonl and
# test-questions.jsonl (150 and 600), in the form that `rotor rag add` and `rotor rag prompts` read.
set -euo pipefail
cd "$(dirname "$0")/.."

case "${1:-}" in
  -h | --help) sed -n '2,8s/^# \{0,1\}//p' "$0"; exit 0 ;;
  -*) echo "invented.sh: unknown option $1; see datasets/invented.sh --help" >&2; exit 2 ;;
esac
target=${1:-data/invented}
mkdir -p "$target"

awk -v folder="$target" '
# Park and Miller 1988, "Random number generators: good ones are hard to find": exact in the doubles that awk has.
function draw(count) { state = (state * 16807) % 2147483647; return state % count }
function pick(list,   parts) { return parts[draw(split(list, parts, "|")) + 1] }
# One thing a line: in which order awk computes what it joins is not said anywhere.
function letter(of) { return substr(of, draw(length(of)) + 1, 1) }
function name(   word, syllables) {  # one that was not there before
  do {
    word = ""
    for (syllables = 2 + draw(2); syllables > 0; --syllables) {
      word = word letter("bdfgklmnprstvz")
      word = word letter("aeiou")
    }
    word = word letter("lnrsk")
  } while (word in used)
  used[word] = 1
  return toupper(substr(word, 1, 1)) substr(word, 2)
}
function year() { return 1700 + draw(300) }
function ask(question, answer) {
  printf "{\"question\": \"%s\", \"answer\": \"%s\", \"document\": \"%s-documents.jsonl#%d\"}\n", question, answer, part, number \
    > (folder "/" part "-questions.jsonl")
}
function tell(title, text) {
  printf "{\"id\": %d, \"title\": \"%s\", \"text\": \"%s\"}\n", number, title, text > (folder "/" part "-documents.jsonl")
}
function person(   who, town, born, instrument, animal) {
  who = name()
  who = who " " name(); town = name(); born = year()
  instrument = pick("violin|harp|flute|trumpet|drum|organ|cello|banjo|guitar|piano|oboe|tuba")
  animal = pick("goats|bees|horses|geese|rabbits|sheep|pigeons|cats|ducks|ponies|hens|dogs")
  tell(who, who " was born in " born ". " who " lives in " town ", plays the " instrument " and keeps " animal ".")
  ask(draw(2) ? "When was " who " born?" : "In what year was " who " born?", born)
  ask(draw(2) ? "Where does " who " live?" : "What is the home of " who "?", town)
  ask(draw(2) ? "What does " who " play?" : "Which instrument does " who " play?", instrument)
  ask(draw(2) ? "What animals does " who " keep?" : "Which animals belong to " who "?", animal)
}
function company(   who, town, began, product, colour) {
  who = name()
  who = who " " pick("Works|Brothers|Company|Limited"); town = name(); began = year()
  product = pick("clocks|lamps|boots|kettles|ropes|chairs|bells|knives|candles|barrels|hats|mirrors")
  colour = pick("red|blue|green|white|black|yellow|brown|grey|orange|purple|silver|golden")
  tell(who, who " was founded in " began ". " who " makes " product " in " town ", and the carts of " who " are " colour ".")
  ask(draw(2) ? "When was " who " founded?" : "In what year did " who " begin?", began)
  ask(draw(2) ? "Where does " who " work?" : "In which town is " who "?", town)
  ask(draw(2) ? "What does " who " make?" : "What can one buy from " who "?", product)
  ask(draw(2) ? "What colour are the carts of " who "?" : "Which colour have the carts of " who "?", colour)
}
function village(   where, river, built, day, fruit) {
  where = name(); river = name(); built = year()
  day = pick("Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday")
  fruit = pick("apples|plums|cherries|pears|grapes|figs|lemons|melons|peaches|olives|quinces|walnuts")
  tell(where, where " lies on the river " river ". The bridge of " where " was built in " built ". The market of " where " is on " day ", and the farmers grow " fruit ".")
  ask(draw(2) ? "On which river does " where " lie?" : "What river flows through " where "?", river)
  ask(draw(2) ? "When was the bridge of " where " built?" : "How old is the bridge of " where ": in what year was it built?", built)
  ask(draw(2) ? "When is the market of " where "?" : "On what day is the market of " where "?", day)
  ask(draw(2) ? "What do the farmers of " where " grow?" : "Which fruit grows around " where "?", fruit)
}
function make(count) {
  for (number = 1; number <= count; ++number) {
    if (number % 3 == 1) person(); else if (number % 3 == 2) company(); else village()
  }
}
BEGIN {
  state = 20250711
  part = "train"; make(600)
  part = "test"; make(150)
}'
echo "invented.sh: $target, $(cat "$target"/*-questions.jsonl | wc -l) questions" >&2
