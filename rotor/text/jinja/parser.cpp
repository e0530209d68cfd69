// Statements: what the tags of a template mean, and where their blocks end.
#include "rotor/text/jinja/parser.h"

#include <algorithm>
#include <array>

namespace rotor::text::jinja {
namespace {

class Parser : ExpressionParser {
 public:
  using ExpressionParser::ExpressionParser;

  ParsedTemplate run() {
    ParsedTemplate parsed;
    parsed.body = parse_body({}, 1);
    if (!is(Type::end)) complain(token().line, "\"", token().text, "\" ends no block that is open");
    parsed.has_generation = has_generation_;
    return parsed;
  }

 private:
  using Names = std::initializer_list<std::string_view>;

  /// Statements up to the tag that begins with one of `ends`, whose name is then the current token; without
  /// `ends` up to the end of the template. `line`: where the block begins.
  Body parse_body(Names ends, int line) {
    const Nested nested(*this);
    Body body;
    while (!is(Type::end)) {
      if (is(Type::text)) {
        body.push_back({Statement::Kind::text, token().line, token().text});
        next();
      } else if (is(Type::begin_print)) {
        Statement print{Statement::Kind::print, token().line};
        next();
        print.value = parse_tuple();
        expect(Type::end_print, "}}");
        body.push_back(std::move(print));
      } else {
        expect(Type::begin_block, "a tag");
        if (is_any_name(ends)) return body;
        if (is(Type::name) && (token().text.starts_with("end") || is_any_name({"else", "elif"}))) {
          complain(token().line, "unexpected {% ", token().text.substr(0, 60), " %}");
        }
        body.push_back(parse_statement());
        expect(Type::end_block, "%}");
      }
    }
    if (ends.size() != 0) complain(line, "the block is not closed by {% ", *(ends.end() - 1), " %}");
    return body;
  }

  /// The body of the tag that stands here, up to one of `ends`.
  Body parse_block(Names ends) {
    take_op(":");
    const int line = token().line;
    expect(Type::end_block, "%}");
    return parse_body(ends, line);
  }
  Body parse_closed_block(std::string_view end) {
    Body body = parse_block({end});
    next();
    return body;
  }

  Statement parse_statement() {
    const Token tag = token();
    const std::string name = expect_identifier();
    Statement statement{Statement::Kind::text, tag.line};
    if (name == "if") {
      parse_if(statement);
    } else if (name == "for") {
      parse_for(statement);
    } else if (name == "set") {
      parse_set(statement);
    } else if (name == "macro") {
      parse_macro(statement);
    } else if (name == "call") {
      parse_call_block(statement);
    } else if (name == "filter") {
      statement.kind = Statement::Kind::filter_block;
      statement.value = parse_filters(make(Kind::body, tag.line, ""), true);
      statement.body = parse_closed_block("endfilter");
    } else if (name == "with") {
      parse_with(statement);
    } else if (name == "generation") {
      has_generation_ = true;
      statement.kind = Statement::Kind::generation;
      statement.body = parse_apart("endgeneration");
    } else if (name == "break" || name == "continue") {
      if (loops_ == 0) complain(tag.line, "{% ", name, " %} stands outside of a loop");
      statement.kind = name == "break" ? Statement::Kind::break_loop : Statement::Kind::continue_loop;
    } else {
      complain_tag(tag);
    }
    return statement;
  }

  [[noreturn]] void complain_tag(const Token& tag) const {
    for (const char* known : {"include", "import", "from", "extends", "block", "autoescape", "print", "do"}) {
      if (tag.text == known) complain(tag.line, "{% ", known, " %} is not supported in chat templates");
    }
    complain(tag.line, "unknown tag \"", tag.text.substr(0, 60), "\"");
  }

  void parse_if(Statement& statement) {
    statement.kind = Statement::Kind::condition;
    while (true) {
      ExpressionPtr test = parse_tuple(false);
      Body body = parse_block({"elif", "else", "endif"});
      statement.branches.emplace_back(std::move(test), std::move(body));
      if (take_name("elif")) continue;
      if (take_name("else")) {
        statement.otherwise = parse_closed_block("endif");
      } else {
        next();
      }
      return;
    }
  }

  void parse_for(Statement& statement) {
    statement.kind = Statement::Kind::loop;
    statement.target = parse_target(false);
    expect_name("in");
    statement.value = parse_tuple(false, {"recursive"});
    if (take_name("if")) statement.test = parse_expression();
    if (is_name("recursive")) complain(token().line, "recursive loops are not supported");
    ++loops_;
    statement.body = parse_block({"else", "endfor"});
    --loops_;
    if (take_name("else")) {
      statement.otherwise = parse_closed_block("endfor");
    } else {
      next();
    }
  }

  void parse_set(Statement& statement) {
    statement.target = parse_target(true);
    if (take_op("=")) {
      statement.kind = Statement::Kind::set;
      statement.value = parse_tuple();
      return;
    }
    statement.kind = Statement::Kind::set_block;
    if (is_op("|")) statement.value = parse_filters(make(Kind::body, token().line, ""));
    statement.body = parse_closed_block("endset");
  }

  /// A body whose loops are not the ones around it.
  Body parse_apart(std::string_view end) {
    const int outer = std::exchange(loops_, 0);
    Body body = parse_closed_block(end);
    loops_ = outer;
    return body;
  }

  void parse_macro(Statement& statement) {
    statement.kind = Statement::Kind::macro;
    statement.text = expect_identifier();
    statement.parameters = parse_parameters();
    statement.body = parse_apart("endmacro");
  }

  void parse_call_block(Statement& statement) {
    statement.kind = Statement::Kind::call_block;
    if (is_op("(")) statement.parameters = parse_parameters();
    statement.value = parse_expression();
    if (statement.value->kind != Kind::call) complain(statement.line, "{% call %}: expected a call");
    statement.body = parse_apart("endcall");
  }

  void parse_with(Statement& statement) {
    statement.kind = Statement::Kind::with;
    while (!is(Type::end_block)) {
      if (!statement.assignments.empty()) expect_op(",");
      ExpressionPtr target = parse_target(false);
      expect_op("=");
      statement.assignments.emplace_back(std::move(target), parse_expression());
    }
    statement.body = parse_closed_block("endwith");
  }

  int loops_ = 0;  // that are open here
  bool has_generation_ = false;
};

}  // namespace

ParsedTemplate parse(std::string_view source) {
  return Parser(tokenize(source)).run();
}

}  // namespace rotor::text::jinja
