/* The simulated sensor's loops over pixels, as a Python module: what NumpyLoops (simulation/loops.py) defines, in one pass each. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <math.h>
#include <stdint.h>

#define MOST_PARTS 128

/* One source for each width of vector registers; the dynamic linker takes the copy for this processor. */
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && defined(__GLIBC__)
#define FOR_EACH_PROCESSOR __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define FOR_EACH_PROCESSOR
#endif

FOR_EACH_PROCESSOR
static void scaled(const float *restrict part, float weight, float *restrict out, Py_ssize_t count)
{
    for (Py_ssize_t i = 0; i < count; i++)
        out[i] = part[i] * weight;
}

FOR_EACH_PROCESSOR
static void add_scaled(const float *restrict part, float weight, float *restrict out, Py_ssize_t count)
{
    for (Py_ssize_t i = 0; i < count; i++)
        out[i] += part[i] * weight;
}

typedef struct {
    float full_well, scale, black, white;
} Levels;

static inline float at_most(float value, float most)
{
    return value < most ? value : most;
}

FOR_EACH_PROCESSOR
static void raw_row(const float *restrict electrons, const float *restrict response, const float *restrict shot,
                    const float *restrict read, const Levels *levels, uint16_t *restrict raw, Py_ssize_t count)
{
    const float to_whole = 12582912.0f; /* 1.5 * 2^23: floats of that size are whole numbers, rounded half to even */
    const float full_well = levels->full_well, scale = levels->scale, black = levels->black, white = levels->white;
    for (Py_ssize_t i = 0; i < count; i++) {
        float light = electrons[i] * response[i];
        light = light > 0.0f ? light : 0.0f; /* a scene's sharpened edges may be darker than black */
        float noisy = at_most(light + sqrtf(light) * shot[i], full_well);
        float value = at_most(noisy * scale + read[i] * scale + black, white);
        value = value > 0.0f ? value : 0.0f;
        raw[i] = (uint16_t)(int32_t)((value + to_whole) - to_whole);
    }
}

/* ---- arguments ---- */

typedef struct {
    Py_buffer buffer;
    int held;
} Plane;

static void let_go(Plane *planes, int count)
{
    for (int i = 0; i < count; i++)
        if (planes[i].held)
            PyBuffer_Release(&planes[i].buffer);
}

/* Fetch a plane, rows x columns, whose rows may be padded. Returns 0, or -1 with an exception set. */
static int fetch(PyObject *array, Plane *plane, Py_ssize_t itemsize, int writable, const Plane *like)
{
    int flags = PyBUF_STRIDES | (writable ? PyBUF_WRITABLE : 0);
    if (PyObject_GetBuffer(array, &plane->buffer, flags))
        return -1;
    plane->held = 1;
    const Py_buffer *buffer = &plane->buffer;
    int fits = buffer->ndim == 2 && buffer->itemsize == itemsize && buffer->strides[1] == itemsize;
    if (fits && like)
        fits = buffer->shape[0] == like->buffer.shape[0] && buffer->shape[1] == like->buffer.shape[1];
    if (!fits)
        PyErr_SetString(PyExc_ValueError, "planes must be of one shape, with pixels side by side within a row");
    return fits ? 0 : -1;
}

static void *row_of(const Plane *plane, Py_ssize_t row)
{
    return (char *)plane->buffer.buf + row * plane->buffer.strides[0];
}

static PyObject *weighted_sum(PyObject *module, PyObject *args)
{
    (void)module;
    PyObject *out_object, *list;
    Plane planes[MOST_PARTS + 1] = {0};
    float weights[MOST_PARTS];
    if (!PyArg_ParseTuple(args, "OO!", &out_object, &PyList_Type, &list))
        return NULL;
    Py_ssize_t parts = PyList_GET_SIZE(list);
    if (parts < 1 || parts > MOST_PARTS) {
        PyErr_SetString(PyExc_ValueError, "1 to 128 parts");
        return NULL;
    }
    Plane *out = &planes[MOST_PARTS];
    int failed = fetch(out_object, out, sizeof(float), 1, NULL);
    for (Py_ssize_t i = 0; i < parts && !failed; i++) {
        PyObject *array;
        failed = !PyArg_ParseTuple(PyList_GET_ITEM(list, i), "Of", &array, &weights[i])
                 || fetch(array, &planes[i], sizeof(float), 0, out);
    }
    if (!failed) {
        Py_ssize_t rows = out->buffer.shape[0], width = out->buffer.shape[1];
        Py_BEGIN_ALLOW_THREADS
        for (Py_ssize_t row = 0; row < rows; row++) {
            float *to = row_of(out, row);
            scaled(row_of(&planes[0], row), weights[0], to, width);
            for (Py_ssize_t i = 1; i < parts; i++)
                add_scaled(row_of(&planes[i], row), weights[i], to, width);
        }
        Py_END_ALLOW_THREADS
    }
    let_go(planes, MOST_PARTS + 1);
    if (failed)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *raw_values(PyObject *module, PyObject *args)
{
    (void)module;
    PyObject *objects[5];
    Plane planes[5] = {0};
    Levels levels;
    if (!PyArg_ParseTuple(args, "OOOOO(ffff)", &objects[0], &objects[1], &objects[2], &objects[3], &objects[4],
                          &levels.full_well, &levels.scale, &levels.black, &levels.white))
        return NULL;
    int failed = fetch(objects[0], &planes[0], sizeof(uint16_t), 1, NULL);
    for (int i = 1; i < 5 && !failed; i++)
        failed = fetch(objects[i], &planes[i], sizeof(float), 0, &planes[0]);
    if (!failed) {
        Py_ssize_t rows = planes[0].buffer.shape[0], width = planes[0].buffer.shape[1];
        Py_BEGIN_ALLOW_THREADS
        for (Py_ssize_t row = 0; row < rows; row++)
            raw_row(row_of(&planes[1], row), row_of(&planes[2], row), row_of(&planes[3], row), row_of(&planes[4], row), &levels,
                    row_of(&planes[0], row), width);
        Py_END_ALLOW_THREADS
    }
    let_go(planes, 5);
    if (failed)
        return NULL;
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"weighted_sum", weighted_sum, METH_VARARGS, "weighted_sum(out, [(plane, weight), ...]): float32 planes of one shape."},
    {"raw_values", raw_values, METH_VARARGS,
     "raw_values(raw, electrons, response, shot, read, (full_well, scale, black, white)): uint16 from float32 planes."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module_of = {PyModuleDef_HEAD_INIT, "_sensor", "The simulated sensor's loops over pixels.", -1, methods,
                                       NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__sensor(void)
{
    return PyModule_Create(&module_of);
}
