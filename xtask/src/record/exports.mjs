// Compares a Parquet file with the table of the same stream, by the package of npm.
//
// usage: exports.mjs PACKAGES CSV PARQUET
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const [packages, csv, parquet] = process.argv.slice(2);
const { asyncBufferFromFile, parquetMetadataAsync, parquetReadObjects } = await import(
  pathToFileURL(`${packages}/node_modules/hyparquet/src/node.js`)
);

const [head, ...lines] = readFileSync(csv, "utf8").trim().split("\n").map((line) => line.split(","));
const file = await asyncBufferFromFile(parquet);
const metadata = await parquetMetadataAsync(file);
const types = Object.fromEntries(metadata.schema.slice(1).map((column) => [column.name, column.type]));
const rows = await parquetReadObjects({ file });
if (rows.length !== lines.length) {
  throw new Error(`${rows.length} rows, ${lines.length} lines`);
}
let count = 0;
rows.forEach((row, at) => {
  const line = lines[at];
  head.forEach((name, column) => {
    const text = line[column];
    if (name === "time_ns") {
      const ms = Number(BigInt(text) / 1000000n);
      if (!(row.time instanceof Date) || Math.abs(row.time.getTime() - ms) > 1) {
        throw new Error(`row ${at}: ${row.time} is not ${text}`);
      }
      return;
    }
    const value = row[name];
    let expected = Number(text);
    if (typeof value === "boolean") {
      // A byte that is neither 0 nor 1 is shown as it is.
      expected = text === "true" || (text !== "false" && text !== "0");
    } else if (typeof value === "bigint") {
      expected = BigInt(text);
    } else if (types[name] === "FLOAT") {
      expected = Math.fround(text === "inf" ? Infinity : text === "-inf" ? -Infinity : Number(text));
    } else if (text === "inf" || text === "-inf") {
      expected = text === "inf" ? Infinity : -Infinity;
    }
    if (!Object.is(value, expected) && value !== expected) {
      throw new Error(`row ${at}, ${name}: ${value} is not ${text}`);
    }
    count += 1;
  });
});
console.log(count);
