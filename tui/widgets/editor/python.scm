; What the editor colours in Python. Where two captures cover the same text, the name that comes first in this file for the
; first time is painted first, and the later one over it.

(string) @string
(interpolation) @embedded
(escape_sequence) @escape
(comment) @comment

[(integer) (float)] @number
[(true) (false) (none)] @constant
((identifier) @constant
 (#match? @constant "^[A-Z][A-Z_0-9]+$"))
((identifier) @self
 (#any-of? @self "self" "cls"))

(class_definition name: (identifier) @class)
(function_definition name: (identifier) @function)
(type (identifier) @type)
(keyword_argument name: (identifier) @parameter)

((call function: (identifier) @builtin)
 (#any-of? @builtin
  "abs" "aiter" "all" "anext" "any" "ascii" "bin" "bool" "breakpoint" "bytearray" "bytes" "callable" "chr" "classmethod"
  "compile" "complex" "delattr" "dict" "dir" "divmod" "enumerate" "eval" "exec" "filter" "float" "format" "frozenset"
  "getattr" "globals" "hasattr" "hash" "help" "hex" "id" "input" "int" "isinstance" "issubclass" "iter" "len" "list"
  "locals" "map" "max" "memoryview" "min" "next" "object" "oct" "open" "ord" "pow" "print" "property" "range" "repr"
  "reversed" "round" "set" "setattr" "slice" "sorted" "staticmethod" "str" "sum" "super" "tuple" "type" "vars" "zip"
  "__import__"))

(decorator) @decorator

[
  "and" "as" "assert" "async" "await" "break" "class" "continue" "def" "del" "elif" "else" "except" "finally" "for" "from"
  "global" "if" "import" "in" "is" "lambda" "nonlocal" "not" "or" "pass" "raise" "return" "try" "while" "with" "yield"
  "match" "case" "is not" "not in"
] @keyword
