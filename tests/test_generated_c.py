"""Generated C files that are made independent of each other."""

import pytest

from tools.generated_c import UnknownFormError, declarations, separate, used

PUBLIC = """\
#ifndef MYPYC_NATIVE_core_H
#define MYPYC_NATIVE_core_H
#include <Python.h>
#ifndef MYPYC_DECLARED_tuple_T2OO
#define MYPYC_DECLARED_tuple_T2OO
typedef struct tuple_T2OO {
    PyObject *f0;
    PyObject *f1;
} tuple_T2OO;
#endif

typedef struct {
    PyObject_HEAD
    tuple_T2OO _pair;
} core___QueueObject;

#endif
"""

INTERNAL = """\
#ifndef MYPYC_INTERNAL_core_H
#define MYPYC_INTERNAL_core_H
#include <Python.h>
#include <CPy.h>
#include "__native_core.h"

int CPyGlobalsInit(void);
extern PyObject *CPyStatics[4];
extern PyTypeObject *CPyType_Queue;
extern char CPyDef_queue___push(core___QueueObject *cpy_r_self, PyObject *cpy_r_message);
extern PyObject *CPyDef_other___pop(PyObject *cpy_r_self);
#endif
"""

MAIN = """\
#include "__native_core.h"
#include "__native_internal_core.h"

int CPyGlobalsInit(void)
{
    static int is_initialized = 0;
    if (is_initialized) return 0;
    if (CPyStatics_Initialize(CPyStatics, CPyLit_Str) < 0) {
        return -1;
    }
    is_initialized = 1;
    return 0;
}
PyObject *CPyStatics[4];
"""

MODULE = """\
#include "__native_core.h"
#include "__native_internal_core.h"

void f(void) {
    CPyDef_queue___push(NULL, CPyStatics[3]); /* 'push' */
    g(CPyStatics[1], CPyStatics[3]);
}
"""


@pytest.fixture
def group(tmp_path):
    files = {
        "__native_core.h": PUBLIC,
        "__native_internal_core.h": INTERNAL,
        "__native_core.c": MAIN,
        "__native_a.c": MODULE,
        "__native_b.c": "#include <math.h>\n",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def separated(group):
    headers = [group / "__native_core.h", group / "__native_internal_core.h"]
    separate(group / "__native_core.c", headers, [group / "__native_a.c", group / "__native_b.c"])
    return {path.name: path.read_text() for path in group.glob("*.c")}


def test_header_is_parsed_into_declarations():
    includes, found = declarations(PUBLIC)
    assert includes == ["#include <Python.h>"]
    assert [each.name for each in found] == ["tuple_T2OO", "core___QueueObject"]
    # Python's headers of the compiler declare some tuples, too.
    assert found[0].text.startswith("#ifndef MYPYC_DECLARED_tuple_T2OO\n")
    assert found[0].text.endswith("#endif")
    assert [each.name for each in declarations(INTERNAL)[1]] == [
        "CPyGlobalsInit",
        "CPyStatics",
        "CPyType_Queue",
        "CPyDef_queue___push",
        "CPyDef_other___pop",
    ]


@pytest.mark.parametrize("header", ["extern int a;\n", "#ifndef A\n#define A\nextern int a\n#endif\n"])
def test_header_of_another_form_is_refused(header):
    with pytest.raises(UnknownFormError):
        declarations(header)


def test_declarations_that_others_need_are_used():
    found = [*declarations(PUBLIC)[1], *declarations(INTERNAL)[1]]
    assert [each.name for each in used("CPyDef_queue___push(a, b);", found)] == [
        "tuple_T2OO",
        "core___QueueObject",
        "CPyDef_queue___push",
    ]


def test_module_declares_what_it_uses_and_no_more(group):
    text = separated(group)["__native_a.c"]
    assert "core___QueueObject;" in text
    assert "CPyDef_other___pop" not in text
    assert "CPyType_Queue" not in text
    assert '#include "__native' not in text
    assert text.index("#include <CPy.h>") < text.index("typedef struct")


def test_module_has_an_array_of_its_own_literals(group):
    files = separated(group)
    assert "extern PyObject *CPyStatics_a[2];" in files["__native_a.c"]
    assert "CPyDef_queue___push(NULL, CPyStatics_a[0]); /* 'push' */" in files["__native_a.c"]
    assert "g(CPyStatics_a[1], CPyStatics_a[0]);" in files["__native_a.c"]
    main = files["__native_core.c"]
    assert "PyObject *CPyStatics_a[2];\nstatic const int CPyStatics_a_from[] = {3, 1};\n" in main
    filled = main.index("CPyStatics_a[i] = CPyStatics[CPyStatics_a_from[i]]")
    assert main.index("CPyStatics_Initialize") < filled < main.index("is_initialized = 1;")
    assert "CPyStatics" not in files["__native_b.c"]


def test_change_of_another_module_changes_only_the_main_file(group):
    before = separated(group)
    (group / "__native_core.h").write_text(PUBLIC)
    (group / "__native_internal_core.h").write_text(
        INTERNAL.replace("extern PyType", "extern PyObject *CPyDef_b___new(void);\nextern PyType")
    )
    (group / "__native_core.c").write_text(MAIN)
    (group / "__native_a.c").write_text(MODULE.replace("CPyStatics[3]", "CPyStatics[5]"))
    after = separated(group)
    assert after["__native_a.c"] == before["__native_a.c"]
    assert after["__native_core.c"] != before["__native_core.c"]


@pytest.mark.parametrize(
    ("name", "text"),
    [("__native_core.c", MAIN.replace("CPyStatics_Initialize", "Fill")), ("__native_a.c", "f(CPyStatics[i]);")],
)
def test_files_of_another_form_are_refused_and_stay_as_they_were(group, name, text):
    (group / name).write_text(text)
    before = {path: path.read_text() for path in group.iterdir()}
    with pytest.raises(UnknownFormError):
        separated(group)
    assert {path: path.read_text() for path in group.iterdir()} == before
