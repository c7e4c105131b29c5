/** The incident that debmend was made for: MySQL being installed, which on Debian is MariaDB. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { inRoot } from '../../../../lab/chroot.ts';
import type { Check, PowerWorkload } from '../workloads.ts';
import { freshInstallation } from './fresh.ts';

const PACKAGE = 'default-mysql-server';

export const mysql: PowerWorkload = freshInstallation(PACKAGE, {
  name: 'mysql',
  what: 'apt-get install default-mysql-server, 105 packages',
  afterSeconds: 7,
  check: checkMariadb,
});

/** Starts the server as its unit does, with a socket alone, asks it, checks all of its own tables, and ends it. */
const CHECK = `
install -d -o mysql -g mysql -m 0755 /run/mysqld
mariadbd --user=mysql --skip-networking --socket=/run/mysqld/lab.sock --pid-file=/run/mysqld/lab.pid > /tmp/mariadbd.log 2>&1 &
server=$!
tries=0
until mariadb --socket=/run/mysqld/lab.sock --skip-column-names -e 'SELECT 1' > /tmp/answer 2> /tmp/refusal; do
  tries=$((tries + 1))
  if [ $tries -gt 240 ] || ! kill -0 $server 2> /dev/null; then
    cat /tmp/refusal; tail -n 15 /tmp/mariadbd.log
    exit 1
  fi
  sleep 0.5
done
echo "answer $(cat /tmp/answer)"
mariadb-check --socket=/run/mysqld/lab.sock --check --databases mysql || exit 1
kill $server
wait $server
`;

async function checkMariadb(directory: string): Promise<Check> {
  if (!existsSync(join(directory, 'usr/sbin/mariadbd'))) return { facts: [], wrong: 'there is no server' };
  const { code, stdout, stderr } = await inRoot(directory, ['sh', '-c', CHECK], { offline: true });
  const [answer = '', ...lines] = stdout.trimEnd().split('\n');
  if (code !== 0 || answer !== 'answer 1') {
    return { facts: [], wrong: `${stdout}${stderr}`.trim() || `the check ended with ${code}` };
  }
  // A table a line, its name and OK; of a table that is not, or has something to say, lines of their own.
  const sound = lines.flatMap((line) => /^(mysql\.\S+) +OK$/.exec(line)?.[1] ?? []);
  const others = lines.filter((line) => !/^mysql\.\S+ +OK$/.test(line));
  return { facts: sound.sort().map((table) => `table ${table}`), wrong: others.join('\n') };
}
