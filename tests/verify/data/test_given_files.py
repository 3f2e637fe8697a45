"""Files as people have them: what each becomes, or how it is refused, and why that is right."""

# ruff: noqa: E501  (a file is a line of the table)

import csv
import gzip
import io
import re
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.feather
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from icgd.bounds.letters import ProblemError
from icgd.verify.data import columnar, file_bytes
from icgd.verify.data.cells import read_cells
from icgd.verify.data.columns import choose_columns
from icgd.verify.data.layout import Layout
from icgd.verify.data.sources import load_table
from icgd.verify.data.table import DataError


def parquet(**columns):
    out = io.BytesIO()
    pa.parquet.write_table(pa.table(columns), out)
    return out.getvalue()


def arrow(stream=False, **columns):
    out, table = io.BytesIO(), pa.table(columns)
    with (pa.ipc.new_stream if stream else pa.ipc.new_file)(out, table.schema) as writer:
        writer.write_table(table)
    return out.getvalue()


GOOD = "a,b,y\n1,2,3\n4,5,6\n7,8,10\n"
READ = {"a": [1, 4, 7], "b": [2, 5, 8], "y": [3, 6, 10]}

# (who writes such a file, and why this is right; its content; --table; columns by name, or part of the refusal).
# A refusal is that of choosing columns by default.
FILES = [
    # Programs and their dialects: the same three rows in each.
    ("a plain CSV file", GOOD, "", READ),
    ("Windows ends lines with two characters", GOOD.replace("\n", "\r\n"), "", READ),
    ("old Macintosh programs end lines with CR alone", GOOD.replace("\n", "\r"), "", READ),
    ("Excel marks UTF-8 with a BOM, which is no part of the first name", "\ufeff" + GOOD, "", READ),
    ("the last line need not end", GOOD.rstrip("\n"), "", READ),
    ("blanks after commas are no part of a number or name", GOOD.replace(",", ", "), "", READ),
    ("a blank before a quotation mark", '"a", "b", "y"\n1, "2", 3\n4, 5, 6\n7, 8, 10\n', "", READ),
    ("Excel in Germany: semicolons", GOOD.replace(",", ";"), "", READ),
    ("LabView: tabs", GOOD.replace(",", "\t"), "", READ),
    ("databases: vertical bars", GOOD.replace(",", "|"), "", READ),
    ("numpy.savetxt without delimiter: blanks", GOOD.replace(",", " "), "", READ),
    ("Fortran: columns filled up with blanks", "   a    b   y\n   1    2   3\n   4    5   6\n   7    8  10\n", "", READ),
    ("any other character, when named", GOOD.replace(",", "~"), "sep=~", READ),
    ("blank lines between blocks are no rows", GOOD.replace("\n4", "\n\n  \n4"), "", READ),
    ("Excel writes rows of separators below a table; they hold nothing", GOOD + ",,\n,,\n", "",
     READ | {None: "rows without any content, which were left out: 2"}),
    ("names in quotation marks", '"a","b","y"\n1,2,3\n4,5,6\n7,8,10\n', "", READ),
    ("gzip, as large tables are kept", gzip.compress(GOOD.encode()), "", READ),
    ("UTF-16 with its mark: Excel's Unicode text", GOOD.replace(",", "\t").encode("utf-16"), "", READ),
    ("UTF-16 without a mark is not guessed, but the option is named", GOOD.encode("utf-16-le"), "",
     "line 1: there is a zero byte, so it is not plain text; if it is UTF-16, add --table encoding=utf-16-le"),
    ("and read when named", GOOD.encode("utf-16-le"), "encoding=utf-16-le", READ),
    ("cp1252 is not guessed, as cp850 would fit as well", "a,Größe,y\n1,2,3\n".encode("cp1252"), "",
     "line 1: the byte 0xf6 is no text in utf-8; add --table encoding=cp1252 if"),
    ("and read when named", "a,Größe,y\n1,2,3\n".encode("cp1252"), "encoding=cp1252", {"Größe": [2]}),
    ("a mark of UTF-8 stays no part of a name if the encoding is named", ("\ufeff" + GOOD).encode(), "encoding=utf-8", READ),
    ("Parquet: names and types are in the file", parquet(a=[1, 4, 7], b=[2.0, 5, 8], y=[3, 6, 10]), "", READ),
    ("Feather, that is an Arrow file", arrow(a=[1, 4, 7], b=[2.0, 5, 8], y=[3, 6, 10]), "", READ),
    ("an Arrow stream", arrow(True, a=[1, 4, 7], b=[2.0, 5, 8], y=[3, 6, 10]), "", READ),
    ("numbers as text in Parquet, as pandas' object columns", parquet(a=["1", "4", "7"], y=[3, 6, 10]), "",
     {"a": [1, 4, 7]}),
    ("categories of pandas", parquet(a=pa.array(["1", "4", "4"]).dictionary_encode(), y=[3, 6, 10]), "", {"a": [1, 4, 4]}),
    ("a semicolon in every cell of words is no separator, as the header has none", "a,note,y\n1,p;q,3\n4,r;s,6\n", "", {"a": [1, 4], "y": [3, 6]}),
    ("nor is a vertical bar", "a,note,y\n1,p|q,3\n4,r|s,6\n", "", {"a": [1, 4], "y": [3, 6]}),
    ("nor is a semicolon where a row is too short besides", "a,note,y\n1,p;q,3\n4,r;s\n", "",
     "line 3: 2 cells where 3 are expected: '4,r;s'; a cell with the separator in it needs quotation marks; the separator was taken to be ','; --table \"sep=;\" names another one"),
    ("a wrong guess can be seen, and is easily mended", "a,note; or b,y\n1,p;q,3\n4,r;s,6\n", "",
     "has 0 with a name and numbers besides the target; the separator was taken to be ';'; --table \"sep=,\" names another one"),
    ("Excel is told the separator in a first line", "sep=;\n" + GOOD.replace(",", ";"), "", READ),
    ("which may be one that nobody would guess", "SEP=~\r\na~b,c~y\r\n1~2~3\r\n", "", {"a": [1], "b,c": [2], "y": [3]}),
    ("or a tab, in quotation marks, and lines keep their numbers", '"sep=\t"\na\ty\n1\t2\nred\t3\n', "", "line 4, column 'a': 'red'"),
    ("a word of --table goes before it", "sep=;\n" + GOOD, "sep=,", READ),
    ("and a person may skip it", "sep=;\n" + GOOD.replace(",", ";"), "skiprows=1", READ),
    # Headers.
    ("R's write.csv: a column without a name that nobody chose", '"","a","y"\n"r1",1,3\n"r2",4,6\n', "", {"a": [1, 4], "y": [3, 6]}),
    ("pandas' to_csv: an index without a name", ",a,b,y\n0,1,2,3\n1,4,5,6\n2,7,8,10\n", "", READ),
    ("pandas' index, saved twice: no input unless somebody says so", "Unnamed: 0,a,y\n0,1,3\n1,4,6\n", "", {"a": [1, 4], "inputs": ["a"]}),
    ("pandas' index in Parquet, which comes last: no target", parquet(a=[1, 4], y=[3, 6], __index_level_0__=[0, 1]), "", {"inputs": ["a"]}),
    ("R's write.table: names of rows, and no name above them", '"a" "y"\n"r1" 1 3\n"r2" 4 6\n', "",
     {"a": [1, 4], "y": [3, 6], None: "rows have one cell more than the header: the first, such as 'r1'"}),
    ("the same with semicolons, where blanks would split each line alike", "size m2;y\n1;1 000;2\n2;3 000;4\n", "thousands=space", {"size m2": [1000, 3000], None: "rows have one cell more than the header"}),
    ("more names than any row has cells", "a,b,c,y\n1,2\n3,4\n", "", "line 2: 2 cells where 4 are expected: '1,2'"),
    ("fewer names than cells, by two", "a,y\n1,2,3,4\n5,6,7,8\n", "", "line 2: 4 cells where 2 are expected: '1,2,3,4'"),
    ("a separator at the end of every line", GOOD.replace("\n", ",\n"), "", READ),
    ("or of every line but the header", GOOD.replace("\n", ",\n").replace("y,", "y", 1), "", READ),
    ("names with the separator in them", '"income, EUR, net";"age, years";spending\n1;2;3\n4;5;6\n', "",
     {"income, EUR, net": [1, 4], "age, years": [2, 5], "spending": [3, 6]}),
    ("a name over two lines, as in Excel", '"a\n(EUR)",y\n1,3\n4,6\n', "", {"a (EUR)": [1, 4], "y": [3, 6]}),
    ("two columns of one name that nobody chose", "a,b,c,b,y\n1,2,3,4,5\n6,7,8,9,0\n", "", {"a": [1, 6], "c": [3, 8]}),
    ("UCI .data without a header: the first flower is no name", "5.1,3.5,Iris\n4.9,3,Iris\n", "",
     "line 1: 2 of 3 names of columns are numbers, such as '5.1'; add --table header=no if this line is data"),
    ("and read when that is said", "5.1,3.5,Iris\n4.9,3,Iris\n", "header=no", {"column_1": [5.1, 4.9], "column_2": [3.5, 3]}),
    ("years as names, when that is said", "2019,2020\n1,2\n3,4\n", "header=yes", {"2019": [1, 3], "2020": [2, 4]}),
    ("one number among names may be a name, but not in silence", "id,x,2020\n1,2,3\n4,5,6\n", "",
     {"2020": [3, 6], None: "line 1 was taken for the header although '2020' in it is a number"}),
    ("notes above the table: their number is counted", "Report of May\nby Ann\n\n" + GOOD, "",
     "line 4: 3 cells where 1 are expected, as above; if the table begins here, and what is above are notes, "
     "add --table skiprows=3"),
    ("and they are skipped when that is said", "Report of May\nby Ann\n\n" + GOOD, "skiprows=3", READ),
    ("instruments write comments above: the option is named", "# LabVIEW\n# 2024\n" + GOOD, "",
     "line 1: two lines begin with '#'; if they are comments, add --table comment=#"),
    ("and left out when that is said, also in between", "# LabVIEW\n# 2024\n" + GOOD + "# end\n", "comment=#", READ),
    ("one comment below the table", GOOD + "# end of data\n", "", "line 5: 1 cells where 3 are expected; add --table comment=#"),
    ("MATLAB's comments", "% a\n% b\n" + GOOD, "comment=%", READ),
    ("a column called # is a name like any other", "#,a,y\n1,2,3\n4,5,6\n", "", {"#": [1, 4]}),
    # Rows.
    ("a row too short: no column is filled up", "a,b,y\n1,2,3\n4,5\n", "", "line 3: 2 cells where 3 are expected: '4,5'"),
    ("a row too long: no cell is cut off", "a,b,y\n1,2,3\n4,5,6,7\n", "", "line 3: 4 cells where 3 are expected: '4,5,6,7'"),
    ("a decimal comma in a comma file makes rows longer", "a,y\n1,5,2\n1,2\n", "", "line 3: 2 cells where 3 are expected"),
    ("a mark that is not closed swallows lines: the line is named", 'a,y\n1,2\n"3,4\n5,6\n', "",
     "a quotation mark opens in this row and is closed in another line"),
    ("a cell over two lines: lines are counted as an editor does", 'a,note,y\n1,"x\ny",3\nred,z,4\n', "",
     "line 4, column 'a': 'red' is not a number"),
    ("an empty file", "", "", "is empty; a header and at least one row are needed"),
    ("an empty file of blanks", "\n  \n", "", "is empty; a header and at least one row are needed"),
    ("only a header", "a,b\n", "", "has a header but no rows"),
    ("a header and rows of nothing", "a,b\n,\n,\n", "", "has a header but no rows"),
    ("a single column has no inputs", "y\n1\n2\n", "", "d = 1 needs 1 input columns, and PATH has 0 with a name"),
    ("one row is a table", "a,y\n1,2\n", "", {"a": [1], "y": [2]}),
    # Cells.
    ("Excel in Germany: decimal commas, and the option is named", "a;b;y\n1,5;2;3\n", "",
     "line 2, column 'a': '1,5' is not a number; add --table \"decimal=,\""),
    ("and read when that is said", "a;b;y\n1,5;2;3\n", "decimal=,", {"a": [1.5], "b": [2]}),
    ("with points for thousands", "a;y\n1.234,5;-1.234.567\n", "decimal=, thousands=.", {"a": [1234.5], "y": [-1234567]}),
    ("with decimal=, a point is no decimal mark in disguise", "a;y\n1.234;2\n", "decimal=,",
     "line 2, column 'a': '1.234' is not a number; with decimal=, a point is no part of a number"),
    ("groups of digits that are no thousands are no number", "a;y\n1.2345;2\n", "decimal=, thousands=.", "'1.2345' is not a number"),
    ("1.234 in a file with semicolons may be a thousand", "a;y\n1.234;2\n5.678;3\n", "",
     {"a": [1.234, 5.678], None: "every cell looks like 1.234"}),
    ("a German column of numbers on both sides of a thousand", "a;y\n850;1\n1.344;2\n2.329;3\n", "",
     {"a": [850, 1.344, 2.329], None: 'every cell from 1000 on looks like 1.234, which was read as a little more than one, in 2 rows; '
      'if the point groups thousands, add --table "thousands=. decimal=,"'}),
    ("and as thousands when that is said", "a;y\n850;1\n1.344;2\n2.329;3\n", "thousands=. decimal=,", {"a": [850, 1344, 2329]}),
    ("the same between tabs, with a cell that is missing", "a\ty\n850\t1\n-1.344\t2\nNA\t3\n", "dropna", {None: "every cell from 1000 on"}),
    ("the same between blanks", "a y\n850 1\n1.344 2\n", "", {None: "every cell from 1000 on"}),
    ("but no thousand begins with 0", "a;y\n0.850;1\n1.344;2\n", "", {"a": [0.85, 1.344]}),
    ("nor is a whole number above 999 written without its point beside others", "a;y\n1850;1\n1.344;2\n", "", {"a": [1850, 1.344]}),
    ("points between commas are decimal marks", "a,y\n850,1\n1.344,2\n", "", {"a": [850, 1.344]}),
    ("millions in a German file are refused, and the option is named", "a;y\n850;1\n1.344.000;2\n", "", 'add --table "thousands=. decimal=,"'),
    ("a group of thousands never begins with 0", 'a,y\n"0,123",2\n"1,234",3\n', "thousands=,",
     "line 2, column 'a': '0,123' is not a number; with ',' for thousands no number in groups begins with 0; if ',' is the decimal mark, say decimal=, without thousands=,"),
    ("nor does it with points", "a;y\n001.987;2\n", "thousands=. decimal=,", "'001.987' is not a number; with '.' for thousands no number in groups begins with 0; if '.' is the decimal mark, say decimal=. without"),
    ("which is said of blanks as well", "a;y\n0 123;2\n", "thousands=space", "with ' ' for thousands no number in groups begins with 0"),
    ("but 0 itself, and a fraction of one, are numbers", "a;y\n0;0,5\n1.000;00,5\n", "thousands=. decimal=,", {"a": [0, 1000], "y": [0.5, 0.5]}),
    ("commas for thousands, in quotation marks", 'a,y\n"1,234",2\n', "", "'1,234' is not a number; add --table \"decimal=,\" or --table \"thousands=,\""),
    ("and read when that is said", 'a,y\n"1,234.5",2\n', "thousands=,", {"a": [1234.5]}),
    ("Switzerland: apostrophes", "a,y\n1'234.5,2\n", "thousands=apostrophe", {"a": [1234.5]}),
    ("France: narrow blanks that do not break", "a;y\n1\u202f234,5;2\n", "thousands=space decimal=,", {"a": [1234.5]}),
    ("Fortran's double precision", "a,y\n1.5D+03,2d-1\n", "", {"a": [1500], "y": [0.2], None: "an exponent D as in Fortran, read as E: 1"}),
    ("the minus sign of typesetting", "a,y\n−2,3\n", "", {"a": [-2], None: "the minus sign U+2212, read as negative: 1"}),
    ("a blank that does not break beside a number", "a,y\n\u00a02\u00a0,3\n", "", {"a": [2]}),
    ("signs, exponents, points at either end", "a,y\n+.5e-1,-5.E+2\n", "", {"a": [0.05], "y": [-500]}),
    ("Python would read 2023_5 as 20235", "a,y\n2023_5,3\n1,2\n", "", "line 2, column 'a': '2023_5' is not a number; underscores"),
    ("percent signs are not computed with", "a,y\n12%,3\n1,2\n", "", "'12%' is not a number; take the percent signs out of the column"),
    ("nor are currencies", "a,y\n$12,3\n1,2\n", "", "'$12' is not a number; take the currency signs out"),
    ("nor is a currency after the number", "a,y\n12 EUR,3\n1,2\n", "", "'12 EUR' is not a number; take the currency signs out"),
    ("a date is no number", "a,y\n2024-05-01,3\n1,2\n", "", "'2024-05-01' is not a number; a date is no number"),
    ("yes and no are not 1 and 0 unless people say so", "a,y\nTrue,3\n1,2\n", "", "'True' is not a number; write 1 and 0"),
    ("hexadecimal digits", "a,y\n0x1f,3\n1,2\n", "", "'0x1f' is not a number; write the number in decimal"),
    ("digits of other scripts", "a,y\n\u0661\u0662,3\n1,2\n", "", "is not a number; mend it or choose other columns"),
    ("infinity", "a,y\ninf,3\n1,2\n", "", "'inf' is not a number; if it means a missing value, add --table 'na_values=inf'"),
    ("a number beyond float64", "a,y\n1e999,3\n1,2\n", "", "'1e999' is not a finite number; it is beyond the range of float64"),
    ("a number too small for float64 becomes 0, but not in silence", "a,y\n1e-999,3\n0.0,2\n", "",
     {"a": [0, 0], None: "cells too small for float64, which became 0: 1"}),
    ("identifiers above 2^53 that float64 makes equal", "a,y\n9007199254740993,3\n9007199254740992,2\n", "",
     {"y": [3, 2], None: "2 different whole numbers of 2^53 and more became 1 in float64"}),
    ("the same with a point after them", "a,y\n9007199254740993.0,3\n9007199254740992.0,2\n", "", {None: "2 different whole numbers of 2^53 and more became 1"}),
    ("the same as Excel writes them", "a,y\n9.007199254740993E+15,3\n9007199254740992,2\n", "", {None: "2 different whole numbers of 2^53 and more became 1"}),
    ("one number written in three ways", "a,y\n9.007199254740993E+15,3\n9007199254740993.0,2\n9007199254740993,2\n", "", {"y": [3, 2, 2]}),
    ("the same in Parquet", parquet(a=[2**53 + 1, 2**53, 5], y=[1, 2, 3]), "", {None: "2 different whole numbers of 2^53 and more became 1"}),
    ("large numbers that stay apart", "a,y\n9007199254740994,3\n9007199254740992,2\n", "", {"a": [2**53 + 2, 2**53], None: ""}),
    ("a column of dates is passed over as well", "day,a,y\n2024-05-01,1,2\n2024-05-02,3,4\n", "", {"a": [1, 3]}),
    ("numbers in other marks throughout are not passed over as words", 'a,b,y\n12%,1,2\n13%,3,4\n', "", "'12%' is not a number"),
    ("a column of words is passed over when nobody names it", "name,a,y\nAnn,1,2\nBob,3,4\n", "", {"a": [1, 3]}),
    ("a column of dates in Parquet has no numbers", parquet(t=pa.array([0, 1], pa.timestamp("s")), y=[1, 2]), "", "d = 1 needs 1 input"),
    ("a control sequence is shown as text", "a,y\n\x1b[31mred,3\n1,2\n", "", "'\\x1b[31mred' is not a number"),
    ("a long cell is shown in part, with its length", "a,y\n" + "x" * 5000 + ",3\n1,2\n", "", "... (5,000 characters) is not a number"),
    ("a cell longer than any number", "a,y\n" + "x" * 200_000 + ",3\n1,2\n", "", "line 2: a cell that ends here has more than 131,072 characters"),
    # Missing values.
    ("an empty cell", "a,y\n1,2\n,3\n", "", "line 3, column 'a': the cell is empty; 1 of 2 rows have none there: fill them in, "
     'choose other columns, or leave such rows out with --table "dropna"'),
    ("R's NA", "a,y\n1,2\nNA,3\n", "", "line 3, column 'a': 'NA' means a missing value; 1 of 2 rows"),
    ("pandas' NaN in a column that nobody needs", "a,b,y\n1,2,3\n4,5,6\n", "", {"a": [1, 4]}),
    ("rows without them, when that is said", "a,y\n1,2\nNA,3\n,4\n5,6\n", "dropna", {"a": [1, np.nan, np.nan, 5]}),
    ("UCI's question mark: the option is named", "a,y\n1,2\n?,3\n", "", "'?' is not a number; if it means a missing value, add --table 'na_values=?'"),
    ("and it is missing when that is said", "a,y\n1,2\n?,3\n", "na_values=? dropna", {"a": [1, np.nan]}),
    ("-999 is a number until somebody says otherwise", "a,y\n1,2\n-999,3\n", "", {"a": [1, -999]}),
    ("and then -999.0 is the same number", "a,y\n1,2\n-999.0,3\n", "na_values=-999 dropna", {"a": [1, np.nan]}),
    ("a stand-in is written as the other numbers of its file: groups", "a;y\n1;2\n9.000;3\n9000;4\n9;5\n", "thousands=. decimal=, na_values=9.000 dropna", {"a": [1, np.nan, np.nan, 9]}),
    ("and decimal commas", "a;y\n1;2\n-99,90;3\n-99,9;4\n", "decimal=, na_values=-99,9 dropna", {"a": [1, np.nan, np.nan]}),
    ("a stand-in in Parquet is the same number however it is written", parquet(a=[1, 1e20, 3], y=[1, -999, 3]), "na_values=1e20|-999.0 dropna", {"a": [1, np.nan, 3], "y": [1, np.nan, 3]}),
    ("infinity in Parquet, of either sign", parquet(a=[1, np.inf, -np.inf], y=[1, 2, 3]), "na_values=inf|-Inf dropna", {"a": [1, np.nan, np.nan]}),
    ("and in a text file", "a,y\n1,2\ninf,3\n1e20,4\n", "na_values=inf|1.0E20 dropna", {"a": [1, np.nan, np.nan]}),
    ("infinity of either sign in Parquet is no number until that is said", parquet(a=[1, -np.inf], y=[1, 2]), "", "it is infinite"),
    ("a word for missing values that is nowhere may be misspelt", "a,y\n1,2\n-999,3\n", "na_values=-99|? dropna", {"a": [1, -999], None: "na_values: no cell is '-99' or '?'"}),
    ("as well in Parquet", parquet(a=[1, -999], y=[1, 2]), "na_values=-99", {None: "na_values: no cell is '-99'"}),
    ("but NA means a missing value in any case", "a,y\n1,2\n", "na_values=NA", {"a": [1]}),
    ("a null in Parquet", parquet(a=[1, None, 3], y=[1, 2, 3]), "", "row 2, column 'a': the value is missing; 1 of 3 rows"),
    ("a whole column without values is passed over", "a,b,y\n1,,2\n3,,4\n", "", {"a": [1, 3], "y": [2, 4]}),
    # Files that are no tables.
    ("an Excel workbook", b"PK\x03\x04" + bytes(50), "", "an Excel workbook or a zip archive: save the sheet as CSV (UTF-8)"),
    ("a web page saved in place of the file", "<!DOCTYPE html><html>", "", "is HTML, XML or JSON; write the table as CSV or Parquet"),
    ("JSON", '[{"a": 1}]', "", "is HTML, XML or JSON"),
    ("numpy's own format", b"\x93NUMPY\x01", "", "a numpy array without names: write it as CSV or Parquet"),
    ("zero bytes in the middle", b"a,y\n1,2\n\0\0\0\n", "", "line 3: there is a zero byte, so it is not plain text"),
    ("half a gzip file", gzip.compress(GOOD.encode() * 99)[:60], "", "is a broken gzip file; copy or compress it again"),
    ("half a Parquet file", parquet(a=[1, 2])[:60], "", "is a broken Parquet or Arrow file"),
    ("a layout for text does not fit Parquet", parquet(a=[1], y=[2]), "sep=;", "table = sep: it is about text files, and PATH is none"),
]  # fmt: skip


def test_each_file_becomes_the_table_it_means_or_is_refused_with_its_place(tmp_path):
    """The expected numbers are written out above; a refusal is one printable line that begins with the file."""
    assert len(FILES) >= 100 and len({why for why, *_ in FILES if why[:3] != "and"}) > 90
    for number, (why, content, words, wanted) in enumerate(FILES):
        path = tmp_path / f"{number}.csv"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        if isinstance(wanted, str):
            with pytest.raises((DataError, ProblemError)) as caught:
                choose_columns(load_table(str(path), words))
            said = str(caught.value).replace(str(path), "PATH")
            assert wanted in said and "\n" not in said and said.isprintable(), (why, said)
            assert said.startswith("PATH") or "PATH has" in said or "table = " in said, (why, said)
            continue
        table = load_table(str(path), words)
        told = " ".join((*table.remarks, *(note for notes in table.notes.values() for note in notes)))
        assert (wanted.get(None, "") in told) if wanted.get(None) else not told, (why, told)
        chosen = choose_columns(table)
        assert chosen.said and table.sha256, why
        assert wanted.get("inputs", list(chosen.inputs)) == list(chosen.inputs), why
        for name, column in wanted.items():
            if name not in (None, "inputs"):
                np.testing.assert_array_equal(table.select([name])[:, 0], column, err_msg=why)


def test_what_cannot_be_opened_is_refused_in_one_line(tmp_path, monkeypatch):
    for source, message in (
        (str(tmp_path / "nowhere.csv"), "nowhere.csv; give a CSV, Parquet or Arrow file, or diabetes"),
        (str(tmp_path), "is a folder, not a file with a table"),
        ("/dev/zero", "is a device, not a file with a table"),
        ("https://example.org/a.csv", "only files on this machine are read; download it first"),
        ("S3://bucket/a.parquet", "only files on this machine are read"),
        ("a\0b", "cannot be read: embedded null byte"),
    ):
        with pytest.raises(DataError, match=re.escape(message)):
            load_table(source)
    with pytest.raises(DataError, match="bundled and needs no --table"):
        load_table("diabetes", "sep=;")
    joined = tmp_path / "joined.csv"
    joined.write_text("a,note; or b,y\n1,p;q,3\n", encoding="utf-8")
    with pytest.raises(DataError, match="taken to be ';'; --table \"sep=,\" names another one"):
        choose_columns(load_table(str(joined)), ["a"], ["y"])
    big = tmp_path / "big.csv"
    big.write_text(GOOD * 100, encoding="utf-8")
    packed, columns = tmp_path / "packed.gz", tmp_path / "columns.parquet"
    packed.write_bytes(gzip.compress(b"a,y\n" + b"1,2\n" * 10**6))
    pa.parquet.write_table(pa.table({"a": np.zeros(10**6), "y": np.zeros(10**6)}), columns)
    for memory, source in ((10_000, big), (10**6, packed), (10**6, columns)):
        monkeypatch.setattr(file_bytes, "available_bytes", lambda free=memory: free)
        monkeypatch.setattr(columnar, "available_bytes", lambda free=memory: free)
        with pytest.raises(DataError, match="keep only the columns and rows"):
            load_table(str(source))


def test_a_million_rows_are_read_exactly(tmp_path):
    numbers = np.arange(3 * 10**6, dtype=float).reshape(-1, 3) / 8 - 5
    path = tmp_path / "million.csv"
    pa.csv.write_csv(pa.table({name: numbers[:, k] for k, name in enumerate("aby")}), path)
    table = load_table(str(path))
    assert table.rows == 10**6 and np.array_equal(table.values, numbers) and table.lines[-1] == 10**6 + 1


NAMES = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=6)
SEPARATORS = st.sampled_from(",;\t|")


@given(
    st.lists(
        NAMES.filter(lambda name: name[0] not in "#%!*<{[" and name.strip(",;|\"'.")), min_size=2, max_size=4
    ),
    st.integers(1, 5),
    SEPARATORS,
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.randoms(use_true_random=False),
)
@settings(max_examples=120, deadline=None)
def test_what_pythons_csv_writes_is_read_back(tmp_path_factory, names, rows, sep, quoting, end, rng):
    """Without being told the separator, whatever other separators and marks there are in the names."""
    values = [[rng.choice([rng.gauss(0, 1), float(rng.randrange(99))]) for _ in names] for _ in range(rows)]
    path = tmp_path_factory.getbasetemp() / "written.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter=sep, quoting=quoting, lineterminator=end)
        writer.writerow([f"x{name}" for name in names])
        writer.writerows(values)
    table = load_table(str(path), "header=yes")
    assert table.names == tuple(f"x{name}" for name in names)
    np.testing.assert_array_equal(table.values, values)


MARKS = st.sampled_from([(".", ""), (",", ""), (".", ","), (",", "."), (".", "'"), (",", " ")])


@given(MARKS, st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=4))
@settings(max_examples=60, deadline=None)
def test_numbers_survive_every_pair_of_marks(marks, numbers):
    """Python writes them, in groups of three where there is a mark; the nearest float64 is read back."""
    decimal, thousands = marks
    written = []
    for number in numbers:
        text = f"{number:,.20f}" if thousands and abs(number) < 1e15 else repr(number)
        written.append(text.translate(str.maketrans({",": thousands, ".": decimal})))
    wanted = [float(f"{number:.20f}") if thousands and abs(number) < 1e15 else number for number in numbers]
    found = read_cells(pa.array(written), Layout(decimal=decimal, thousands=thousands), ";")
    assert found.fault is None and found.gap is None
    np.testing.assert_array_equal(found.values, wanted)


@given(
    st.text(st.characters(codec="utf-8"), max_size=8) | st.text("0123456789.,eEdD+-_ −%x'NAinf", max_size=8)
)
@settings(max_examples=150, deadline=None)
def test_a_cell_is_a_number_only_where_python_reads_the_same_one(cell):
    """Besides Python's numbers only D exponents and U+2212 are taken, and never underscores or other digits."""
    found = read_cells(pa.array([cell]), Layout(), ",")
    plain = cell.strip().replace("−", "-")
    if found.fault is None and found.gap is None:
        assert plain.isascii() and "_" not in plain
        assert found.values[0] == float(re.sub("[dD]", "e", plain))
    elif plain.isascii() and not set(plain) & set("_nN"):
        with pytest.raises((ValueError, AssertionError)):
            assert np.isfinite(float(plain))


def test_words_of_a_layout_that_are_wrong_are_named():
    for words, message in (
        ("seperator=;", "table = seperator: there is no such word; the words are sep: what separates cells"),
        ("sep=; sep=,", "sep is given twice"),
        ("sep=", "table = sep: a value is needed"),
        ("sep=;;", "sep = ;;: one character is needed, or its name, such as tab or space"),
        ("decimal=5", "decimal = 5: a mark is needed, no letter, digit or sign"),
        ("decimal=, thousands=,", "decimal and thousands are the same mark"),
        ("encoding=klingon", "encoding = klingon: no encoding of text has that name"),
        ("header=maybe", "header = maybe: yes or no is needed"),
        ("skiprows=-1", "skiprows = -1: a number of lines is needed"),
        ("comment='", "a quotation mark is not closed"),
    ):
        with pytest.raises(ProblemError, match=re.escape(message)):
            Layout.parse(words)
    given_words = vars(
        Layout.parse("sep=\\t comment=# skiprows=2 header=no na_values=?|- encoding=latin1 dropna")
    )
    assert SimpleNamespace(**given_words) == SimpleNamespace(
        sep="\t", decimal=".", thousands="", encoding="iso8859-1", header=False, comment="#", skiprows=2,
        na_values=("?", "-"), dropna=True,
    )  # fmt: skip
